"""Compare the simulation with kernels: predictions of a benchmark next to measurements.

    make sim-kernels
    python benchmarks/sim_against_kernels.py FILE.json... [--preemption MODEL]

The files come from `untorn bench --json`, with targets `live` and vm:KERNEL. A prediction uses the
release and the preemption model of the target's kernel, and the costs of its code: those that
`untorn bench --calibrate` keeps in the cache, or measured now if there are none. Nothing is fitted.
We compare the mean latency relative to that without readers. Draws docs/simulation-kernels.svg.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from untorn.bench.plots.labels import label_end, settle_labels
from untorn.bench.plots.style import COLOURS, frame
from untorn.bench.sample import Sample, Summary, ratio_to_none, summarise
from untorn.bench.sim import SimBenchTarget
from untorn.bench.target import BenchOptions
from untorn.cli.calibrate import calibrate, costs_file
from untorn.releases.release import Release
from untorn.sim.costs import CostTable
from untorn.sim.machine import PREEMPTION

PICTURE = Path("docs/simulation-kernels.svg")
READERS = "none", "maps", "smaps", "query", "gentle"
RUNS = 3
"""Simulated runs of each kind."""
LIVE_SECONDS = 1.0
"""Virtual seconds of a run for `live`, which makes some 45,000 updates."""
FACTOR = 2
"""A prediction is good if it is off by at most this factor."""


@dataclass(frozen=True, slots=True)
class Point:
    """A reader's mean latency relative to that without readers, measured and predicted."""

    target: str
    reader: str
    measured: float
    predicted: float

    @property
    def factor(self) -> float:
        """The factor by which the prediction is off: above 1, it is too high."""
        return self.predicted / self.measured

    @property
    def is_good(self) -> bool:
        """Whether the prediction is off by no more than FACTOR."""
        return 1 / FACTOR <= self.factor <= FACTOR


def points_of(file: Path, preemption: str) -> Iterator[Point]:
    """Predict the measurements of a file; the model is for a kernel that does not report one."""
    content: dict[str, Any] = json.loads(file.read_text())
    known = {each.name for each in fields(BenchOptions)}
    options = BenchOptions(**{n: v for n, v in content["options"].items() if n in known})
    samples = [Sample.from_json(each) for each in content["samples"]]
    measured = [each for each in summarise(samples) if each.reader in READERS and not each.variant]
    for target in dict.fromkeys(each.target for each in measured):
        machine = content["guests"].get(target, content["environment"])
        told = machine["preemption"]
        how = replace(
            options,
            preemption=told if told in PREEMPTION else preemption,
            virtual_duration=options.duration if options.virtual_time else LIVE_SECONDS,
        )
        rows = [each for each in measured if each.target == target]
        predicted = predict(target, Release.parse(machine["kernel"]), rows, how)
        for row, simulated in zip(rows, predicted, strict=True):
            if row.reader != "none":
                ratios = ratio_to_none(row, rows), ratio_to_none(simulated, predicted)
                yield Point(target, row.reader, *ratios)


def predict(
    target: str, release: Release, rows: list[Summary], options: BenchOptions
) -> list[Summary]:
    """Simulate the runs of a target, with the costs of its kernel."""
    costs = costs_file(target, virtual_time=options.virtual_time)
    if not costs.exists():
        calibrate(target, costs, virtual_time=options.virtual_time)
    simulated, how = SimBenchTarget(str(release)), replace(options, costs=CostTable.load(costs))
    return summarise(
        simulated.run(row.reader, how, number) for row in rows for number in range(RUNS)
    )


def table(points: list[Point]) -> Table:
    """Return a table of predictions and measurements."""
    result = Table("target", "reader", title="mean latency by that without readers")
    for column in "measured", "predicted", "predicted / measured":
        result.add_column(column, justify="right")
    for each in points:
        mark = "" if each.is_good else " !"
        factor = f"{each.factor:.2f}{mark}"
        result.add_row(
            each.target, each.reader, f"{each.measured:.2f}", f"{each.predicted:.2f}", factor
        )
    return result


def draw(points: list[Point]) -> Figure:
    """Return a picture of predictions against measurements; those outside the band are named."""
    figure = Figure(figsize=(8, 6.5), layout="constrained")
    axes = figure.subplots()
    largest = 1.5 * max(max(each.measured, each.predicted) for each in points)
    ends = 0.5, largest
    axes.fill_between(ends, [n / FACTOR for n in ends], [n * FACTOR for n in ends], color="#eeeeee")
    axes.plot(ends, ends, color="#8c8c8c", linewidth=1)
    for each in points:
        _draw_point(axes, each)
    for reader in READERS[1:]:
        axes.plot([], [], "o", color=COLOURS[reader], label=reader)
    axes.legend(loc="upper left", frameon=False)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, aspect="equal")
    axes.set_xlabel("measured: mean latency of mmap and munmap ÷ that without readers")
    axes.set_ylabel("predicted by the simulation")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    frame(axes)
    settle_labels(figure, [axes])
    return figure


def _draw_point(axes: Axes, point: Point) -> None:
    marker = "*" if point.target == "live" else "o"
    colour, place = COLOURS[point.reader], (point.measured, point.predicted)
    axes.plot(*place, marker, color=colour, markersize=7)
    if not point.is_good:
        label_end(
            axes, place, f"{point.target.removeprefix('vm:')}, {point.reader}", colour, "right"
        )


def main() -> None:
    """Predict, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.json")
    parser.add_argument(
        "--preemption",
        choices=PREEMPTION,
        default="none",
        help="model of a kernel that does not tell its own, as `live`",
    )
    options = parser.parse_args()
    points = [each for file in options.files for each in points_of(file, options.preemption)]
    Console(width=120).print(table(points))
    draw(points).savefig(PICTURE)


if __name__ == "__main__":
    main()
