"""A plot of the benchmark.

Of a few targets, each reader's sorted maxima and means; of many, what each reader costs from one
target to the next.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from untorn.bench.environment import Environment
from untorn.bench.lock_count import VMAS, LockCount
from untorn.bench.sample import Sample, by_kind, label, ratio_to_none, summarise
from untorn.bench.target import WORKLOADS, BenchOptions

FEW = 3
"""Up to this many targets, their runs fit side by side."""
COLOURS = {
    "none": "#8c8c8c",
    "mmap_lock": "#d55e00",
    "vma_lock": "#0072b2",
    "rcu": "#009e73",
    "query": "#cc79a7",
    "maps": "#56b4e9",
    "smaps": "#e69f00",
    "smaps_rollup": "#0072b2",
    "memory": "#882255",
    "clear_refs": "#999933",
    "gentle": "#009e73",
    "psutil": "#d55e00",
}
"""By reader; black for another."""
Series = dict[str, dict[str, float]]
"""By reader and variant, the figure of each target that has one."""


def draw(
    samples: Sequence[Sample],
    options: BenchOptions,
    environment: Environment,
    path: Path,
    lock_counts: Sequence[LockCount] = (),
) -> None:
    """Write the plot to a file, as SVG or PNG by its ending.

    The runs of a few targets are drawn one by one, those of many as one figure a reader. A run
    that hung has no figures and is left out.

    Raises:
        OSError: The file cannot be written.
    """
    many = len({each.target for each in samples}) > FEW
    if many:
        figure = overview(samples, options, lock_counts)
    else:
        figure = _runs(samples, options, environment)
    figure.savefig(path, dpi=150)


def _runs(samples: Sequence[Sample], options: BenchOptions, environment: Environment) -> Figure:
    kinds = by_kind(each for each in samples if each.updates)
    targets = list(dict.fromkeys(runs[0].target for runs in kinds)) or [""]
    figure = Figure(figsize=(1 + 5 * len(targets), 5.5), layout="constrained")
    panels = figure.subplots(1, len(targets), sharey=True, squeeze=False)[0]
    for axes, target in zip(panels, targets, strict=True):
        _draw_panel(axes, target, [runs for runs in kinds if runs[0].target == target])
    panels[0].set_ylabel(f"latency of {WORKLOADS[options.workload]}, ms")
    title = f"Linux {environment.kernel}, {environment.python}, {len(environment.cpus)} CPUs"
    lines = "solid: maximum of each run; dashed: mean of each run"
    figure.suptitle(f"{title}\n{options.timed}; {lines}", fontsize=10)
    return figure


def _draw_panel(axes: Axes, target: str, kinds: list[list[Sample]]) -> None:
    for runs in kinds:
        _draw_runs(axes, runs)
    axes.set_title(target, fontsize=11)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("runs, sorted")
    frame(axes)
    if kinds:
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.12),
            ncols=3,
            fontsize=9,
            columnspacing=1.5,
            frameon=False,
        )


def _draw_runs(axes: Axes, samples: list[Sample]) -> None:
    reader, variant = samples[0].reader, samples[0].variant
    numbers = range(1, len(samples) + 1)
    style: dict[str, Any] = {
        "color": COLOURS.get(reader, "#000000"),
        "marker": "s" if variant else "o",
        "markersize": 3.5,
        "alpha": 0.55 if variant else 1,
    }
    name = label(reader, variant).replace("$", r"\$")  # no formula
    axes.plot(numbers, sorted(each.max_ms for each in samples), "-", label=name, **style)
    means = sorted(each.mean_ms for each in samples)
    axes.plot(numbers, means, "--", markerfacecolor="white", **style)


def overview(
    samples: Sequence[Sample], options: BenchOptions, lock_counts: Sequence[LockCount]
) -> Figure:
    """Return a picture of many targets: what each reader costs there.

    Above stands the mean latency by that of `none`, below how many locks a pass takes.
    """
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
    _draw_series(panels[0], targets, ratios)
    panels[0].set_yscale("log")
    panels[0].yaxis.set_major_formatter("{x:g}")
    panels[0].set_ylabel(f"mean latency of {WORKLOADS[options.workload]}\n÷ that without readers")
    if locks:
        _draw_series(panels[1], targets, locks)
        panels[1].set_yscale("symlog", linthresh=1)
        panels[1].set_ylim(-0.3, 2 * max(1, *(each.acquisitions for each in lock_counts)))
        panels[1].yaxis.set_major_formatter("{x:g}")
        panels[1].set_ylabel(f"mmap_lock taken in one pass\nover {VMAS:,} VMAs")
    panels[0].legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=9)
    return figure


def _draw_series(axes: Axes, targets: Sequence[str], series: Series) -> None:
    for number, (name, figures) in enumerate(series.items()):
        columns = [column for column, target in enumerate(targets) if target in figures]
        colour = COLOURS.get(name.partition(",")[0], "#000000")
        style = "s--" if "," in name else "o-"
        heights = [figures[targets[column]] for column in columns]
        # The first are on top: what a gentle reader hides is what it does not differ in.
        (line,) = axes.plot(columns, heights, style, color=colour, label=name, markersize=4.5)
        line.set_zorder(3 - number / len(series))
    axes.set_xticks(range(len(targets)), targets)
    frame(axes)


def frame(axes: Axes) -> None:
    """Give axes a light grid across, and no frame above and on the right."""
    axes.grid(axis="y", which="major", color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
