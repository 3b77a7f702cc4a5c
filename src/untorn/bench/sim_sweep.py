"""Sweeps of target `sim`: the same mapper and scanners on machines and maps of many sizes.

Measuring a cell is a pure function of the cell, so cells may be measured in any process, on any
machine, and in any order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import product
from math import log2, sqrt
from statistics import fmean
from typing import Any

from untorn.bench.sim_run import simulate
from untorn.bench.target import BenchOptions
from untorn.releases.release import modelled_by_name
from untorn.sim.costs import Costs, CostTable
from untorn.spread.each import each
from untorn.spread.pool import Pool

READERS = ("none", "mmap_lock", "vma_lock", "rcu", "gentle")
VMAS_PER_MIB = 25.2
"""VMAs per MiB of a region that has just been settled: each page is unmapped with probability p =
(1 - e^(-1/4)) / 2, and 256 p (1 - p) of 256 pages are the first of a VMA."""
SEEDS = 3
"""Runs of each reader at each point."""
SECONDS = 0.1
"""Virtual seconds of a run with one scanner."""
NONE_SECONDS = 0.03
"""The same without readers: there nothing rare happens that needs a longer run."""


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """The parameters of a sweep.

    Attributes:
        scanners: Scanners, and as many busy tasks.
        cpus: CPUs, the mapper's included.
        vmas: About how many VMAs the map has when measuring begins.
        nice: Nice value of the scanners.
    """

    scanners: int = 2
    cpus: int = 2
    vmas: int = 1000
    nice: int = 15


@dataclass(frozen=True, slots=True)
class Cell:
    """One run.

    Attributes:
        point: Its parameters.
        reader: The reader's name.
        seed: The number of the run of that reader.
        virtual_s: How long it lasts, in virtual seconds.
    """

    point: Point
    reader: str
    seed: int
    virtual_s: float

    def __str__(self) -> str:
        """Name it."""
        point = ", ".join(f"{name} {value}" for name, value in asdict(self.point).items())
        return f"{self.reader} at {point}"


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured for a cell; latencies in ns."""

    cell: Cell
    calls: int
    mean_ns: float
    p999_ns: int
    max_ns: int

    def as_json(self) -> dict[str, Any]:
        """Return all by name."""
        fields = asdict(self)
        cell = fields.pop("cell")
        return {**cell.pop("point"), **cell, **fields}


def cells(points: Sequence[Point], scale: float = 1) -> list[Cell]:
    """Return the cells of all readers at some points, each once, with their time scaled.

    Cells that start from the same map are adjacent; large maps come first, because they take
    longest.
    """
    found = product(range(SEEDS), dict.fromkeys(points), READERS)
    return sorted(
        (
            Cell(point, reader, seed, scale * _seconds(point, reader))
            for seed, point, reader in found
        ),
        key=lambda cell: (-cell.point.vmas, cell.seed),
    )


def _seconds(point: Point, reader: str) -> float:
    """Return how long to run at a point, in virtual seconds.

    The more scanners share a CPU, the longer each waits for its turn. The more of them run at once,
    the more happens in the same time, and the longer the simulation takes.
    """
    if reader == "none":
        return NONE_SECONDS
    running = min(point.scanners, point.cpus - 1)
    return SECONDS * (1 + log2(point.scanners / running) / 2) / sqrt(running)


def vary(base: Point, name: str, values: Sequence[int]) -> list[Point]:
    """Return points that differ from a point in one parameter."""
    return [replace(base, **{name: value}) for value in values]


def measure(cell: Cell) -> Figures:
    """Simulate a cell, as untorn bench does with the same options."""
    point = cell.point
    options = BenchOptions(
        virtual_duration=cell.virtual_s,
        scanners=point.scanners,
        cpus=point.cpus,
        nice=point.nice,
        mb=round(point.vmas / VMAS_PER_MIB),
    )
    run = simulate(
        modelled_by_name(""), cell.reader, options, f"{options.seed}-{cell.seed}", _costs()
    )
    latencies = sorted(run.latencies_ns)
    return Figures(
        cell,
        calls=len(latencies),
        mean_ns=fmean(latencies),
        p999_ns=latencies[len(latencies) * 999 // 1000],
        max_ns=latencies[-1],
    )


def sweep(wanted: Sequence[Cell], pool: Pool) -> Iterator[tuple[int, Figures]]:
    """Yield the number of each cell and its figures as they arrive; raises as each()."""
    return each(pool, measure, wanted)


@cache
def _costs() -> Costs:
    return CostTable.load().costs
