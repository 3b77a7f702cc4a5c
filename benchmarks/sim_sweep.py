"""Where each way of reading maps breaks down, by scanners, CPUs, VMAs and nice value: simulated.

    make sim-sweep
    python benchmarks/sim_sweep.py [--cluster ADDRESS] [--scale PART] [--draw FILE.json]

Writes sim-sweep.json, the same bytes wherever it was measured, and draws sim-sweep.svg.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from rich.table import Table

from untorn.bench.plots.style import LARGE, SMALL, USUAL, WIDTH
from untorn.bench.sim_sweep import READERS, Point, cells, sweep, vary
from untorn.errors import OutOfReachError
from untorn.processes.endings import endings_held
from untorn.spread.pools import open_pool

USUALLY = Point()
AXES = {
    "scanners": (1, 2, 4, 8, 16, 32, 64, 128, 256),
    "cpus": (2, 4, 8, 16, 64, 256),
    "vmas": (1_000, 3_000, 10_000, 30_000, 100_000),
    "nice": (0, 5, 10, 15, 19),
}
"""What is varied one at a time, the rest being as usual."""
SCANNERS, CPUS = (1, 4, 16, 64, 256), (2, 4, 8, 16)
"""What is varied together."""
TOLERABLE, BAD = 2, 10
"""Means, in those of `none`, from which on a table shows a figure yellow, or red."""
Rows = list[dict[str, Any]]
"""Figures as JSON has them."""


def plane() -> list[Point]:
    """Return the points of the heat map."""
    return [Point(scanners=scanners, cpus=cpus) for scanners, cpus in product(SCANNERS, CPUS)]


def measure(address: str | None, scale: float, console: Console) -> Rows:
    """Measure all points, on this machine or on a cluster; in order, whatever came first."""
    lines = [point for name, values in AXES.items() for point in vary(USUALLY, name, values)]
    wanted = cells([*lines, *plane()], scale)
    with endings_held():
        measured = sweep(wanted, open_pool(address))
        found = dict(track(measured, "cells", len(wanted), console=console, transient=True))
    return [found[number].as_json() for number in range(len(wanted))]


def at(rows: Rows, reader: str, point: Point) -> dict[str, Any]:
    """Return the figures of a reader at a point."""
    names = "scanners", "cpus", "vmas", "nice"
    place = tuple(getattr(point, name) for name in names)
    return next(
        row
        for row in rows
        if row["reader"] == reader and tuple(row[name] for name in names) == place
    )


def ratio(rows: Rows, reader: str, point: Point) -> float:
    """Return the mean latency beside a reader by that without."""
    mean, none = (float(at(rows, each, point)["mean_ns"]) for each in (reader, "none"))
    return mean / none


def longest_ms(rows: Rows, reader: str, point: Point) -> float:
    """Return the longest latency, in ms."""
    return float(at(rows, reader, point)["max_ns"]) / 1e6


def table(rows: Rows, name: str) -> Table:
    """Return the means by that of none, and the longest calls, as one thing is varied."""
    usual = ", ".join(f"{other} {getattr(USUALLY, other)}" for other in AXES if other != name)
    result = Table(name, title=f"mean x none; p99.9 / longest call in ms  ({usual})")
    for reader in READERS[1:]:
        result.add_column(reader, justify="right")
    for value, point in zip(AXES[name], vary(USUALLY, name, AXES[name]), strict=True):
        result.add_row(f"{value:,}", *(_told(rows, reader, point) for reader in READERS[1:]))
    return result


def _told(rows: Rows, reader: str, point: Point) -> str:
    mean = ratio(rows, reader, point)
    colour = "red" if mean >= BAD else "yellow" if mean >= TOLERABLE else "green"
    p999, longest = (at(rows, reader, point)[name] / 1e6 for name in ("p999_ns", "max_ns"))
    return f"[{colour}]x{_short(mean)}[/]  {_short(p999)} / {_short(longest)}"


def _short(value: float) -> str:
    """Return about two digits of a number."""
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def draw(rows: Rows) -> None:
    """Draw a column a reader: above the means, below the longest calls."""
    figure = Figure(figsize=(WIDTH, 6), layout="constrained")
    panels = figure.subplots(2, len(READERS) - 1, sharex=True, sharey=True)
    for above, below, reader in zip(*panels, READERS[1:], strict=True):
        above.set_title(reader, fontsize=LARGE)
        heat(above, rows, reader, ratio, LogNorm(1, 1_000))
        heat(below, rows, reader, longest_ms, LogNorm(0.05, 5_000))
        below.set_xlabel("CPUs", fontsize=USUAL)
    for axes, what in zip(panels[:, 0], ("mean, x none", "longest, ms"), strict=True):
        axes.set_ylabel(f"{what}\nscanners", fontsize=USUAL)
    figure.savefig("sim-sweep.svg", metadata={"Date": None})


def heat(
    axes: Axes,
    rows: Rows,
    reader: str,
    figure_of: Callable[[Rows, str, Point], float],
    norm: LogNorm,
) -> None:
    """Draw a figure of all points of the plane, each as a colour and a number."""
    values = [
        [figure_of(rows, reader, Point(scanners=scanners, cpus=cpus)) for cpus in CPUS]
        for scanners in SCANNERS
    ]
    axes.imshow(values, cmap="YlOrRd", norm=norm, origin="lower", aspect="auto")
    for y, line in enumerate(values):
        for x, value in enumerate(line):
            colour = "white" if norm(value) > 0.6 else "black"
            axes.text(x, y, _short(value), ha="center", va="center", color=colour, fontsize=SMALL)
    label_ticks(axes)


def label_ticks(axes: Axes) -> None:
    """Write the numbers of CPUs and scanners."""
    axes.set_xticks(range(len(CPUS)), names(CPUS), fontsize=SMALL)
    axes.set_yticks(range(len(SCANNERS)), names(SCANNERS), fontsize=SMALL)
    axes.tick_params(length=0)


def names(values: Sequence[int]) -> Iterable[str]:
    """Return numbers as text."""
    return [f"{value:,}" for value in values]


def main() -> None:
    """Measure, or take figures from a file; tell and draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cluster", metavar="ADDRESS", help="of a Dask scheduler")
    parser.add_argument("--scale", type=float, default=1, help="measure for that part of the time")
    parser.add_argument("--draw", type=Path, metavar="FILE", help="only draw what is in a file")
    arguments = parser.parse_args()
    console = Console()
    try:
        if arguments.draw:
            rows = json.loads(arguments.draw.read_text())
        else:
            rows = measure(arguments.cluster, arguments.scale, console)
            Path("sim-sweep.json").write_text(json.dumps(rows, indent=1) + "\n")
    except OutOfReachError as error:
        parser.exit(1, f"{error}\n")
    for name in AXES:
        console.print(table(rows, name))
    draw(rows)


if __name__ == "__main__":
    main()
