"""A plot of the benchmark: per target, each reader's sorted maxima and means on a log scale."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from untorn.bench.environment import Environment
from untorn.bench.lock_count import LockCount
from untorn.bench.overview import overview
from untorn.bench.sample import Kind, Sample, by_kind, label
from untorn.errors import OutOfReachError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".svg", ".png")
"""Endings that a plot's file may have."""
FEW = 3
"""Targets whose runs fit beside each other."""
_COLOURS = {
    "none": "#8c8c8c",
    "mmap_lock": "#d55e00",
    "vma_lock": "#0072b2",
    "rcu": "#009e73",
    "query": "#cc79a7",
    "maps": "#56b4e9",
    "smaps": "#e69f00",
    "gentle": "#009e73",
    "psutil": "#d55e00",
}
"""By reader; black for another."""


def check_plotting() -> None:
    """Raise OutOfReachError if there is no matplotlib, which is imported only to draw."""
    if find_spec("matplotlib") is None:
        raise OutOfReachError("plots need matplotlib: pip install 'untorn[plot]'")


def draw(
    samples: Sequence[Sample],
    environment: Environment,
    path: Path,
    lock_counts: Sequence[LockCount] = (),
) -> None:
    """Write the plot to a file, as SVG or PNG by its ending.

    The runs of a few targets are drawn one by one, those of many as one figure a reader. A run
    that hung has no figures and is left out.

    Raises:
        OutOfReachError: matplotlib is not installed.
        OSError: The file cannot be written.
    """
    check_plotting()
    many = len({each.target for each in samples}) > FEW
    figure = overview(samples, lock_counts, _COLOURS) if many else _runs(samples, environment)
    figure.savefig(path, dpi=150)


def _runs(samples: Sequence[Sample], environment: Environment) -> "Figure":
    from matplotlib.figure import Figure

    kinds = by_kind(each for each in samples if each.updates)
    targets = list(dict.fromkeys(target for target, _, _ in kinds)) or [""]
    figure = Figure(figsize=(1 + 5 * len(targets), 5.5), layout="constrained")
    panels = figure.subplots(1, len(targets), sharey=True, squeeze=False)[0]
    for axes, target in zip(panels, targets, strict=True):
        _draw_panel(axes, target, {kind: kinds[kind] for kind in kinds if kind[0] == target})
    panels[0].set_ylabel("latency of mmap and munmap, ms")
    title = f"Linux {environment.kernel}, {environment.python}, {len(environment.cpus)} CPUs"
    figure.suptitle(f"{title}\nsolid: maximum of each run; dashed: mean of each run", fontsize=10)
    return figure


def _draw_panel(axes: "Axes", target: str, kinds: dict[Kind, list[Sample]]) -> None:
    from matplotlib.ticker import MaxNLocator

    for (_, reader, variant), samples in kinds.items():
        _draw_runs(axes, samples, reader, variant)
    axes.set_title(target, fontsize=11)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("runs, sorted")
    axes.grid(axis="y", which="major", color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if kinds:
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.12),
            ncols=3,
            fontsize=9,
            columnspacing=1.5,
            frameon=False,
        )


def _draw_runs(axes: "Axes", samples: list[Sample], reader: str, variant: str) -> None:
    runs = range(1, len(samples) + 1)
    style: dict[str, Any] = {
        "color": _COLOURS.get(reader, "#000000"),
        "marker": "s" if variant else "o",
        "markersize": 3.5,
        "alpha": 0.55 if variant else 1,
    }
    name = label(reader, variant).replace("$", r"\$")  # no formula
    axes.plot(runs, sorted(each.max_ms for each in samples), "-", label=name, **style)
    means = sorted(each.mean_ms for each in samples)
    axes.plot(runs, means, "--", markerfacecolor="white", **style)
