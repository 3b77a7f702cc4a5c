"""The sorted means and maxima of the runs, as the original benchmark plots them.

Each target has a row.

Source: run-proc-vs-map.sh of paulmckrcu/proc-mmap_sem-test, whose columns --rawdata prints.
"""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from untorn.bench.environment import Environment
from untorn.bench.plots.labels import settle_labels
from untorn.bench.plots.lines import lines_of
from untorn.bench.plots.panels import READ_RATIOS, draw_line, entitle, grid, where
from untorn.bench.run import BenchResult
from untorn.bench.target import BenchOptions


def runs(
    result: BenchResult, options: BenchOptions, environment: Environment, named: Sequence[str]
) -> Figure:
    """Return the picture; choose() chooses the readers, those named first."""
    targets = list(dict.fromkeys(each.target for each in result.samples))
    title = f"latency of {options.timed}", f"{where(environment)}; {READ_RATIOS}"
    figure, panels = grid(2 * len(targets), title, "runs, sorted", "ms")
    for target, means, maxima in zip(targets, panels[::2], panels[1::2], strict=True):
        lines, remark = lines_of([each for each in result.samples if each.target == target], named)
        guest = where(result.guests.get(target))
        entitle(means, f"{target}: mean of each run", guest, remark)
        entitle(maxima, f"{target}: maximum of each run", guest, remark)
        for line in lines:
            numbers = range(1, len(line.samples) + 1)
            sorted_means = sorted(each.mean_ms for each in line.samples)
            sorted_maxima = sorted(each.max_ms for each in line.samples)
            draw_line(means, line, line.text, numbers, sorted_means, dots=True)
            draw_line(maxima, line, line.kind.short, numbers, sorted_maxima, dots=True)
    panels[0].set_yscale("log")  # the limits of all panels: they share the axis
    panels[0].yaxis.set_major_formatter("{x:g}")
    panels[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    settle_labels(figure, panels)
    return figure
