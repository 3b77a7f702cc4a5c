"""A picture of many targets: what each reader costs, from one target to the next."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from untorn.bench.lock_count import VMAS, LockCount
from untorn.bench.sample import Sample, label, ratio_to_none, summarise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Series = dict[str, dict[str, float]]
"""By reader and variant, the figure of each target that has one."""


def overview(
    samples: Sequence[Sample], lock_counts: Sequence[LockCount], colours: Mapping[str, str]
) -> "Figure":
    """Return a figure: above the mean latency by that of `none`, below the locks of a pass."""
    from matplotlib.figure import Figure

    summaries = summarise(samples)
    targets = list(dict.fromkeys(each.target for each in summaries))
    ratios, locks = Series(), Series()
    for row in summaries:
        if row.reader != "none":
            name = label(row.reader, row.variant)
            ratios.setdefault(name, {})[row.target] = ratio_to_none(row, summaries)
    for each in lock_counts:
        locks.setdefault(label(each.reader, each.variant), {})[each.target] = each.acquisitions
    figure = Figure(figsize=(3 + 0.9 * len(targets), 7 if locks else 4), layout="constrained")
    panels = figure.subplots(2 if locks else 1, 1, sharex=True, squeeze=False)[:, 0]
    _draw(panels[0], targets, ratios, colours)
    panels[0].set_yscale("log")
    panels[0].yaxis.set_major_formatter("{x:g}")
    panels[0].set_ylabel("mean latency of mmap and munmap\n÷ that without readers")
    if locks:
        _draw(panels[1], targets, locks, colours)
        panels[1].set_yscale("symlog", linthresh=1)
        panels[1].set_ylim(-0.3, 2 * max(1, *(each.acquisitions for each in lock_counts)))
        panels[1].yaxis.set_major_formatter("{x:g}")
        panels[1].set_ylabel(f"mmap_lock taken in one pass\nover {VMAS:,} VMAs")
    panels[0].legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=9)
    return figure


def _draw(axes: "Axes", targets: Sequence[str], series: Series, colours: Mapping[str, str]) -> None:
    for number, (name, figures) in enumerate(series.items()):
        places = [place for place, target in enumerate(targets) if target in figures]
        colour = colours.get(name.partition(",")[0], "#000000")
        style = "s--" if "," in name else "o-"
        heights = [figures[targets[place]] for place in places]
        # The first are on top: what a gentle reader hides is what it does not differ in.
        (line,) = axes.plot(places, heights, style, color=colour, label=name, markersize=4.5)
        line.set_zorder(3 - number / len(series))
    axes.set_xticks(range(len(targets)), targets)
    axes.grid(axis="y", which="major", color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
