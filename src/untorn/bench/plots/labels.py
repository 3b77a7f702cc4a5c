"""Labels beside the ends of lines, moved apart where they would overlap."""

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from untorn.bench.plots.style import USUAL

_BESIDE = 0.04
"""Distance of labels from the panel, in panel widths."""
_LEADING = 1.3
"""Distance from one label to the next, in text sizes."""
Side = Literal["left", "right"]


def label_end(axes: Axes, end: tuple[float, float], text: str, colour: str, side: Side) -> None:
    """Write a label beside the panel, and connect it to the end of its line."""
    right = side == "right"
    axes.annotate(
        text.replace("$", r"\$"),  # not a formula
        end,
        (1 + _BESIDE if right else -_BESIDE, 0.5),
        textcoords="axes fraction",
        annotation_clip=False,
        verticalalignment="center",
        horizontalalignment="left" if right else "right",
        color=colour,
        fontsize=USUAL,
        arrowprops={
            "arrowstyle": "-",
            "color": colour,
            "linewidth": 0.7,
            "alpha": 0.6,
            "shrinkA": 1,
            "shrinkB": 0,
            "relpos": (0 if right else 1, 0.5),
        },
    )


def settle_labels(figure: Figure, panels: Iterable[Axes]) -> None:
    """Give all labels their heights. Call it last: it depends on the size of the panels."""
    figure.draw_without_rendering()
    for axes in panels:
        to_panel = axes.transData + axes.transAxes.inverted()
        labels = [text for text in axes.texts if isinstance(text, Annotation)]
        labels.sort(key=lambda label: label.xy[1])
        ends = [float(to_panel.transform(label.xy)[1]) for label in labels]
        gap = _LEADING * USUAL * figure.dpi / 72 / axes.bbox.height
        for label, height in zip(labels, apart(ends, gap), strict=True):
            label.set_position((label.get_position()[0], height))


def apart(wanted: Sequence[float], gap: float) -> list[float]:
    """Return the heights nearest to the wanted ones, between 0 and 1 and at least gap apart.

    The sum of squared moves is least: heights too close to each other spread around their mean. The
    wanted heights ascend. If there are too many, the highest exceed 1.
    """
    pools: list[list[float]] = []  # neighbours that touch, heights less distance from the first
    for number, height in enumerate(wanted):
        pool = [height - number * gap]
        while pools and fmean(pools[-1]) > fmean(pool):
            pool = pools.pop() + pool
        pools.append(pool)
    highest = 1 - gap * (len(wanted) - 1)
    lowest = [max(min(fmean(pool), highest), 0) for pool in pools for _ in pool]
    return [height + number * gap for number, height in enumerate(lowest)]
