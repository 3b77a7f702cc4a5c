"""A figure of panels on one scale; each panel has a title, and lines with labels."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from untorn.bench.environment import Environment
from untorn.bench.plots.labels import label_end
from untorn.bench.plots.lines import Line
from untorn.bench.plots.style import LARGE, SMALL, USUAL, WIDTH, frame

COLUMNS = 2
"""Panels in a row: more would be too small on a page of a README's width."""
_HEIGHT = 3.3
"""Height of a row, in inches."""
READ_RATIOS = "x: mean latency compared with none"


def where(environment: Environment | None) -> str:
    """Return a line that says where figures are from; empty for a target in no guest."""
    if environment is None:
        return ""
    parts = f"Linux {environment.kernel}", environment.python, f"{len(environment.cpus)} CPUs"
    return ", ".join(filter(None, parts))  # a simulated machine has no Python


def grid(panels: int, title: Sequence[str], across: str, up: str) -> tuple[Figure, list[Axes]]:
    """Return a figure and its panels, at least one, on one scale.

    Args:
        panels: How many.
        title: Lines at the top; the first is the subject.
        across: Label of the horizontal axes.
        up: Label of the vertical axes.
    """
    columns, rows = min(panels, COLUMNS), -(-panels // COLUMNS)
    size = WIDTH * (1 + columns) / (1 + COLUMNS), 0.9 + _HEIGHT * rows
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle("\n".join(title), fontsize=USUAL)
    figure.supxlabel(across, fontsize=USUAL)
    figure.supylabel(up, fontsize=USUAL)
    cells = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel().tolist()
    for cell in cells[panels:]:
        cell.remove()
    for cell in cells[:panels]:
        frame(cell)
        cell.tick_params(labelbottom=True)
    return figure, cells[:panels]


def entitle(axes: Axes, title: str, *remarks: str) -> None:
    """Write a title above a panel, and remarks in small letters; empty remarks are left out."""
    remark = "; ".join(filter(None, remarks))
    axes.set_title(title, fontsize=LARGE, loc="left", weight="bold", pad=16 if remark else 5)
    axes.text(0, 1.015, remark, fontsize=SMALL, color="#606060", transform=axes.transAxes)


def draw_line(
    axes: Axes, line: Line, text: str, xs: Sequence[float], ys: Sequence[float], *, dots: bool
) -> None:
    """Draw a reader's line, with dots at all points or only at its end, and its label."""
    axes.plot(
        xs,
        ys,
        line.kind.stroke,
        color=line.colour,
        linewidth=1.7,
        marker="o",
        markersize=4,
        markevery=None if dots else [-1],
    )
    label_end(axes, (xs[-1], ys[-1]), text, line.colour, "right")
