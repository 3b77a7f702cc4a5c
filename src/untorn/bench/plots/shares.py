"""The share of calls that take longer than a time, by reader; one panel per target."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from untorn.bench.environment import Environment
from untorn.bench.histogram import Tail, merge, tail
from untorn.bench.plots.labels import settle_labels
from untorn.bench.plots.lines import lines_of
from untorn.bench.plots.panels import READ_RATIOS, draw_line, entitle, grid, where
from untorn.bench.run import BenchResult
from untorn.bench.sample import NS_PER_MS, Sample
from untorn.bench.target import BenchOptions


def shares(
    result: BenchResult, options: BenchOptions, environment: Environment, named: Sequence[str]
) -> Figure:
    """Return the picture; choose() chooses the readers, those named first."""
    targets = list(dict.fromkeys(each.target for each in result.samples))
    figure, panels = grid(
        len(targets),
        (f"latency of {options.timed}", f"{where(environment)}; {READ_RATIOS}"),
        "share of the calls that take longer",
        "ms",
    )
    for axes, target in zip(panels, targets, strict=True):
        lines, remark = lines_of([each for each in result.samples if each.target == target], named)
        entitle(axes, target, where(result.guests.get(target)), remark)
        for line in lines:
            curve = tail_of(line.samples)
            draw_line(axes, line, line.text, curve.shares, curve.ms, dots=False)
    panels[0].set(xscale="log", yscale="log")
    panels[0].invert_xaxis()  # for all panels: they share the axis
    panels[0].xaxis.set_major_formatter(lambda share, _: f"{percent(share)}%")
    panels[0].yaxis.set_major_formatter("{x:g}")
    settle_labels(figure, panels)
    return figure


def percent(share: float) -> str:
    """Return a share in percent, never with an exponent."""
    return np.format_float_positional(100 * share, precision=6, trim="-")


def tail_of(samples: Sequence[Sample]) -> Tail:
    """Return the share of the calls of some runs by the time they took at least."""
    longest_ns = round(max(each.max_ms for each in samples) * NS_PER_MS)
    return tail(merge(each.histogram_ns for each in samples), longest_ns)
