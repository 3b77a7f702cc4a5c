"""What all pictures share: colours, sizes, a light grid."""

from typing import Literal

from matplotlib.axes import Axes

COLOURS = {
    "none": "#8c8c8c",
    "mmap_lock": "#d55e00",
    "vma_lock": "#0072b2",
    "rcu": "#882255",
    "maps": "#56b4e9",
    "smaps": "#e69f00",
    "query": "#cc79a7",
    "gentle": "#009e73",
    "psutil": "#000000",
    "memory": "#332288",
    "smaps_rollup": "#d55e00",
    "clear_refs": "#999933",
}
"""By reader; if there are too many readers, the first of these are drawn. Colour-blind people can
tell apart those that meet in a panel."""
SMALL, USUAL, LARGE = 8.5, 9.5, 11
"""Text sizes, in points, on figures that are WIDTH inches wide or a little more."""
WIDTH = 9.5


def frame(axes: Axes, side: Literal["left", "right"] = "left") -> None:
    """Give axes a light grid across, and a scale on one side."""
    axes.grid(axis="y", which="major", color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "left" if side == "right" else "right"]].set_visible(False)
    axes.yaxis.set_ticks_position(side)
    axes.tick_params(labelsize=SMALL)
