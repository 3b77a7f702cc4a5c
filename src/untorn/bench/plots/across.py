"""What each reader costs, from one target to the next."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from untorn.bench.environment import Environment
from untorn.bench.lock_count import VMAS
from untorn.bench.plots.labels import label_end, settle_labels
from untorn.bench.plots.lines import Kind, choose, colours, left_out
from untorn.bench.plots.panels import entitle, where
from untorn.bench.plots.style import USUAL, WIDTH, frame
from untorn.bench.run import BenchResult
from untorn.bench.sample import ratio_to_none, summarise
from untorn.bench.target import BenchOptions

Figures = Mapping[Kind, Mapping[str, float]]
"""By kind of reader, the figure of each target that has one."""


def across(
    result: BenchResult, options: BenchOptions, environment: Environment, named: Sequence[str]
) -> Figure:
    """Return the picture: at the top means relative to `none`, below the locks of a pass."""
    ratios, locks = ratios_of(result), locks_of(result)
    chosen = colours(choose(list(ratios), named))
    targets = list(dict.fromkeys(each.target for each in result.samples))
    figure = Figure(figsize=(WIDTH, 6.5 if locks else 4), layout="constrained")
    panels = figure.subplots(2 if locks else 1, 1, sharex=True, squeeze=False)[:, 0].tolist()
    _draw(panels[0], targets, chosen, ratios)
    figure.suptitle(where(environment), fontsize=USUAL)
    entitle(
        panels[0],
        f"mean latency of {options.timed} ÷ that without readers",
        left_out(ratios, list(chosen)),
    )
    panels[0].set_yscale("log")
    if locks:
        _draw(panels[1], targets, chosen, locks)
        entitle(panels[1], f"times that a pass over {VMAS:,} VMAs takes mmap_lock")
        panels[1].set_yscale("symlog", linthresh=1)
        panels[1].set_ylim(-0.3, 2 * max(1, *(each.acquisitions for each in result.lock_counts)))
    for axes in panels:
        axes.yaxis.set_major_formatter("{x:,g}")
    settle_labels(figure, panels)
    return figure


def ratios_of(result: BenchResult) -> Figures:
    """Return mean latencies with readers, relative to the one without."""
    summaries, ratios = summarise(result.samples), dict[Kind, dict[str, float]]()
    for row in summaries:
        ratio = ratio_to_none(row, summaries)
        if row.reader != "none" and not math.isnan(ratio):
            ratios.setdefault(Kind(row.reader, row.variant), {})[row.target] = ratio
    return ratios


def locks_of(result: BenchResult) -> Figures:
    """Return how often a pass takes mmap_lock."""
    locks = dict[Kind, dict[str, float]]()
    for each in result.lock_counts:
        locks.setdefault(Kind(each.reader, each.variant), {})[each.target] = each.acquisitions
    return locks


def _draw(axes: Axes, targets: Sequence[str], chosen: Mapping[Kind, str], figures: Figures) -> None:
    for number, (kind, colour) in enumerate(chosen.items()):
        by_target = figures.get(kind, {})
        columns = [column for column, target in enumerate(targets) if target in by_target]
        if not columns:
            continue
        heights = [by_target[targets[column]] for column in columns]
        # The first are drawn on top: a gentle reader hides only what it does not change.
        order = 3 - number / len(chosen)
        axes.plot(columns, heights, "o" + kind.stroke, color=colour, zorder=order, markersize=5)
        label_end(axes, (columns[0], heights[0]), kind.short, colour, "left")
    axes.set_xticks(range(len(targets)), targets)
    frame(axes, "right")
