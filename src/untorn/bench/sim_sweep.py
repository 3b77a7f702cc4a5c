"""Sweeps of target `sim`: the same mapper and scanners on machines and maps of many sizes.

A cell is measured by a pure function of it, so cells may be measured in any process, on any
machine, and in any order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
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
"""Of a region that has just been settled: each page is unmapped with probability
p = (1 - e^(-1/4)) / 2, and of 256 pages 256 p (1 - p) are the first of a VMA."""
SHARED_S, OWN_S = 0.6, 0.03
"""Virtual seconds of a cell: of two CPUs, where all scanners share one, and of more, where each may
have one to itself and so has more to do."""


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """What is varied.

    Attributes:
        scanners: Scanners, and as many busy tasks.
        cpus: CPUs, the mapper's included.
        vmas: About how many VMAs the map has when the measuring begins.
        nice: Nice value of the scanners.
    """

    scanners: int = 2
    cpus: int = 2
    vmas: int = 1000
    nice: int = 15


@dataclass(frozen=True, slots=True)
class Cell:
    """A point, who reads there, and for how many virtual seconds."""

    point: Point
    reader: str
    virtual_s: float

    def __str__(self) -> str:
        """Name it."""
        point = ", ".join(f"{name} {value}" for name, value in asdict(self.point).items())
        return f"{self.reader} at {point}"


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured at a cell; latencies in ns."""

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
    """Return the cells of all readers at some points, each once, their time scaled."""
    return [
        Cell(point, reader, scale * (SHARED_S if point.cpus == 2 else OWN_S))
        for point in dict.fromkeys(points)
        for reader in READERS
    ]


def vary(base: Point, name: str, values: Sequence[int]) -> list[Point]:
    """Return points that differ from one in one respect."""
    return [replace(base, **{name: value}) for value in values]


def measure(cell: Cell) -> Figures:
    """Simulate a cell."""
    point = cell.point
    options = BenchOptions(
        virtual_duration=cell.virtual_s,
        scanners=point.scanners,
        cpus=point.cpus,
        nice=point.nice,
        mb=round(point.vmas / VMAS_PER_MIB),
    )
    run = simulate(modelled_by_name(""), cell.reader, options, "sweep", _costs())
    latencies = sorted(run.latencies_ns)
    return Figures(
        cell,
        calls=len(latencies),
        mean_ns=fmean(latencies),
        p999_ns=latencies[len(latencies) * 999 // 1000],
        max_ns=latencies[-1],
    )


def sweep(wanted: Sequence[Cell], pool: Pool) -> Iterator[tuple[int, Figures]]:
    """Yield the number of each cell and its figures, as they come; raises as each()."""
    return each(pool, measure, wanted)


@cache
def _costs() -> Costs:
    return CostTable.load().costs
