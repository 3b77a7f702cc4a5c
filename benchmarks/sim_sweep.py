"""Simulate where each way of reading maps breaks down, by scanners, CPUs, VMAs and nice value.

    make sim-sweep
    python benchmarks/sim_sweep.py [--cluster ADDRESS] [--scale PART] [--draw FILE.json]

Writes sim-sweep.json, with the same bytes wherever it was measured, and draws sim-sweep.svg. A
sweep that was stopped continues: results are kept in sim-sweep.part until all are there.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from rich.box import MARKDOWN
from rich.console import Console
from rich.progress import track
from rich.table import Table

from untorn.bench.plots.style import LARGE, SMALL, USUAL, WIDTH
from untorn.bench.sim_sweep import READERS, Cell, Point, cells, sweep, vary
from untorn.errors import OutOfReachError
from untorn.processes.endings import endings_held
from untorn.sources import digest
from untorn.spread.pools import open_pool

USUALLY = Point()
AXES = {
    "scanners": (1, 2, 4, 8, 16, 32, 64, 128, 256),
    "cpus": (2, 4, 8, 16, 64, 256),
    "vmas": (1_000, 3_000, 10_000, 30_000, 100_000),
    "nice": (0, 5, 10, 15, 19),
}
"""Parameters varied one at a time, with the others as usual."""
SCANNERS = 1, 4, 16, 64
PLANES = {"cpus": (2, 3, 5, 9), "vmas": (1_000, 10_000, 100_000)}
"""Parameters varied together with the scanners."""
NAMES = {"cpus": "CPUs", "vmas": "VMAs"}
MEANS, LONGEST = LogNorm(1, 1_000), LogNorm(0.05, 5_000)
"""Colours of the figures."""
TOLERABLE, BAD = 2, 10
"""Means relative to `none` from which a table shows a figure in yellow, or red."""
COLUMNS = 160
"""Width of tables, also when they are not printed on a terminal."""
PART, FILE = Path("sim-sweep.part"), Path("sim-sweep.json")
Rows = list[dict[str, Any]]
"""Figures as in JSON."""


def plane(name: str) -> list[Point]:
    """Return the points of a heat map: scanners and another parameter."""
    return [
        point
        for scanners in SCANNERS
        for point in vary(Point(scanners=scanners), name, PLANES[name])
    ]


def wanted_cells(scale: float) -> list[Cell]:
    """Return all cells."""
    lines = [point for name, values in AXES.items() for point in vary(USUALLY, name, values)]
    return cells([*lines, *(point for name in PLANES for point in plane(name))], scale)


def measure(address: str | None, scale: float, console: Console) -> Rows:
    """Measure all cells, on this machine or on a cluster; return the results in their order."""
    wanted = wanted_cells(scale)
    found = kept(wanted)
    left = [number for number in range(len(wanted)) if number not in found]
    with PART.open("a") as part, endings_held():
        measured = sweep([wanted[number] for number in left], open_pool(address))
        for place, figures in track(measured, "cells", len(left), console=console, transient=True):
            found[left[place]] = figures.as_json()
            print(json.dumps([left[place], figures.as_json()]), file=part, flush=True)
    PART.unlink()
    return [found[number] for number in range(len(wanted))]


def kept(wanted: Sequence[Cell]) -> dict[int, dict[str, Any]]:
    """Return what an earlier sweep of these cells by the same code has measured, by number.

    If there was none, begin to keep the results of this one.
    """
    what = sha256(f"{digest()} {wanted}".encode()).hexdigest()
    lines = PART.read_text().splitlines() if PART.exists() else []
    if lines[:1] == [what]:
        return dict(map(json.loads, lines[1:]))
    PART.write_text(f"{what}\n")
    return {}


def at(rows: Rows, reader: str, point: Point) -> Rows:
    """Return the figures of a reader at a point, one for each seed."""
    place = asdict(point) | {"reader": reader}
    return [row for row in rows if place.items() <= row.items()]


def mean(rows: Rows) -> float:
    """Return the mean latency of all calls."""
    total_ns = sum(float(row["mean_ns"]) * int(row["calls"]) for row in rows)
    return total_ns / sum(int(row["calls"]) for row in rows)


def ratio(rows: Rows, reader: str, point: Point) -> float:
    """Return the mean latency with a reader, relative to that without."""
    return mean(at(rows, reader, point)) / mean(at(rows, "none", point))


def spread(rows: Rows, reader: str, point: Point) -> tuple[float, float]:
    """Return the lowest and the highest of these ratios over the seeds."""
    none = mean(at(rows, "none", point))
    ratios = [float(row["mean_ns"]) / none for row in at(rows, reader, point)]
    return min(ratios), max(ratios)


def longest_ms(rows: Rows, reader: str, point: Point) -> float:
    """Return the longest latency, in ms."""
    return max(float(row["max_ns"]) for row in at(rows, reader, point)) / 1e6


def title(name: str) -> str:
    """Return the title of a table."""
    usual = ", ".join(f"{other} {getattr(USUALLY, other):,}" for other in AXES if other != name)
    return f"By {name} ({usual}): mean x none (lowest to highest seed), longest call in ms"


def table(rows: Rows, name: str) -> Table:
    """Return a table of means relative to none and longest calls, as one parameter varies."""
    result = Table(name, box=MARKDOWN)
    for reader in READERS[1:]:
        result.add_column(reader, justify="right")
    for value, point in zip(AXES[name], vary(USUALLY, name, AXES[name]), strict=True):
        result.add_row(f"{value:,}", *(_told(rows, reader, point) for reader in READERS[1:]))
    return result


def _told(rows: Rows, reader: str, point: Point) -> str:
    mean_ratio = ratio(rows, reader, point)
    colour = "red" if mean_ratio >= BAD else "yellow" if mean_ratio >= TOLERABLE else "green"
    lowest, highest = spread(rows, reader, point)
    seeds = f"({_short(lowest)} to {_short(highest)})"
    longest = _short(longest_ms(rows, reader, point))
    return f"[{colour}]x{_short(mean_ratio)}[/] {seeds}, {longest}"


def _short(value: float) -> str:
    """Return about two digits of a number."""
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def draw(rows: Rows) -> None:
    """Draw a column per reader, and per plane a row of means and one of longest calls."""
    figure = Figure(figsize=(WIDTH, 9), layout="constrained")
    figures = ("mean, x none", ratio, MEANS), ("longest, ms", longest_ms, LONGEST)
    panels = figure.subplots(len(PLANES) * len(figures), len(READERS) - 1)
    for line, (name, (what, figure_of, norm)) in zip(panels, product(PLANES, figures), strict=True):
        for axes, reader in zip(line, READERS[1:], strict=True):
            heat(axes, [figure_of(rows, reader, point) for point in plane(name)], name, norm)
            axes.set_xlabel(NAMES[name], fontsize=SMALL)
        line[0].set_ylabel(f"{what}\nscanners", fontsize=USUAL)
    for axes, reader in zip(panels[0], READERS[1:], strict=True):
        axes.set_title(reader, fontsize=LARGE)
    figure.savefig("sim-sweep.svg", metadata={"Date": None})


def heat(axes: Axes, values: Sequence[float], name: str, norm: LogNorm) -> None:
    """Draw a figure of all points of a plane, each as a coloured number."""
    width = len(PLANES[name])
    lines = [values[start : start + width] for start in range(0, len(values), width)]
    axes.imshow(lines, cmap="YlOrRd", norm=norm, origin="lower", aspect="auto")
    for y, line in enumerate(lines):
        for x, value in enumerate(line):
            colour = "white" if norm(value) > 0.6 else "black"
            axes.text(x, y, _short(value), ha="center", va="center", color=colour, fontsize=SMALL)
    axes.set_xticks(range(width), [f"{each:,}" for each in PLANES[name]], fontsize=SMALL)
    axes.set_yticks(range(len(lines)), map(str, SCANNERS), fontsize=SMALL)
    axes.tick_params(length=0)


def main() -> None:
    """Measure, or take figures from a file; print and draw them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cluster", metavar="ADDRESS", help="of a Dask scheduler")
    parser.add_argument("--scale", type=float, default=1, help="measure for that part of the time")
    parser.add_argument("--draw", type=Path, metavar="FILE", help="only draw what is in a file")
    arguments = parser.parse_args()
    console = Console(width=COLUMNS)
    try:
        if arguments.draw:
            rows = json.loads(arguments.draw.read_text())
        else:
            rows = measure(arguments.cluster, arguments.scale, console)
            FILE.write_text(json.dumps(rows, indent=1) + "\n")
    except OutOfReachError as error:
        parser.exit(1, f"{error}\n")
    except KeyboardInterrupt:
        parser.exit(1, f"interrupted; what was measured is kept in {PART}\n")
    for name in AXES:
        console.print(title(name), table(rows, name), highlight=False)
    rcParams["svg.hashsalt"] = "sim-sweep"
    draw(rows)


if __name__ == "__main__":
    main()
