"""Speed of the engine's parts, from 1,000 to 1,000,000 VMAs, next to a plain map under one lock.

    make bench-micro

Every VMA is one page followed by a hole of one page, so none merge. Each figure is the best of a
few batches: a disturbance can only make a batch slower.
"""

import gc
import random
import sys
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from baseline import LockedMap
from rich.console import Console
from rich.table import Table

from untorn.maps.page import PAGE_SIZE
from untorn.mm.limits import Limits
from untorn.mm.mm_types import MmStruct
from untorn.mm.mman import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE
from untorn.mm.vma_lock import vma_end_read
from untorn.mm.vma_lookup import lock_vma_under_rcu
from untorn.syscalls import Process

SIZES = (1_000, 10_000, 100_000, 1_000_000)
BASE = 0x1000_0000_0000
STRIDE = 2 * PAGE_SIZE
BATCHES = 5
CALLS = 20_000
"""Calls in a batch."""
FLAGS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED


class Subject(Protocol):
    """A map to measure: calls take a byte address, and read() returns lines and a count."""

    name: str

    def map(self, addr: int) -> None:
        """Map one page."""

    def unmap(self, addr: int) -> None:
        """Unmap one page."""

    def find(self, addr: int) -> object:
        """Find the mapping at addr."""

    def lock(self, addr: int) -> None:
        """Find it, keep it still, release it."""

    def read(self) -> None:
        """Produce all lines."""


class Engine:
    """The engine."""

    name = "engine"

    def __init__(self) -> None:
        self.process = Process(MmStruct(limits=Limits(max_map_count=1 << 30), gate_vma=False))
        self.find = self.process.mm.find_vma
        self.unmap = lambda addr: self.process.munmap(addr, PAGE_SIZE)

    def map(self, addr: int) -> None:
        """Map one writable page, unlike the pages next to it in this run."""
        self.process.mmap(addr, PAGE_SIZE, PROT_READ | PROT_WRITE, FLAGS)

    def map_other(self, addr: int) -> None:
        """Map one page that merges with no other."""
        self.process.mmap(addr, PAGE_SIZE, PROT_READ, FLAGS)

    def lock(self, addr: int) -> None:
        """Lock the VMA at addr as a page fault does."""
        vma = lock_vma_under_rcu(self.process.mm, addr)
        assert vma is not None
        vma_end_read(vma)

    def read(self) -> None:
        """Read maps under VMA locks."""
        file = self.process.open("maps", "vma_lock")
        while file.read(1 << 16):
            pass


def best(call: Callable[[int], object], addresses: list[int]) -> float:
    """Return the fastest batch, in microseconds per call."""
    times = []
    for _ in range(BATCHES):
        start = time.perf_counter()
        for addr in addresses:
            call(addr)
        times.append(time.perf_counter() - start)
    return min(times) / len(addresses) * 1e6


def measure(subject: Subject, size: int, chance: random.Random) -> dict[str, float]:
    """Return microseconds per call (reading: per VMA) with a number of VMAs mapped."""
    mapped = [BASE + STRIDE * chance.randrange(size) for _ in range(CALLS)]
    holes = [addr + PAGE_SIZE for addr in mapped]
    map_ = getattr(subject, "map_other", subject.map)

    def pair(addr: int) -> None:
        map_(addr)
        subject.unmap(addr)

    return {
        "find": best(subject.find, mapped),
        "find and lock": best(subject.lock, mapped),
        "map + unmap": best(pair, holes),
        "read, per VMA": best(lambda _: subject.read(), [0]) / size,
    }


def grow(subject: Subject, old: int, new: int) -> None:
    """Map pages until there are enough new VMAs."""
    for number in range(old, new):
        subject.map(BASE + STRIDE * number)


def run(sizes: Iterable[int]) -> dict[tuple[str, int], dict[str, float]]:
    """Measure both at every size."""
    figures: dict[tuple[str, int], dict[str, float]] = {}
    subjects: list[Subject] = [Engine(), LockedMap()]
    old = 0
    for size in sizes:
        for subject in subjects:
            grow(subject, old, size)
            gc.collect()
            gc.freeze()
            figures[subject.name, size] = measure(subject, size, random.Random(size))
            print(f"{subject.name} at {size:,} VMAs", file=sys.stderr)
        old = size
    return figures


def report(figures: dict[tuple[str, int], dict[str, float]]) -> Table:
    """Return the figures, their growth, and the engine's cost relative to the plain map's."""
    sizes = sorted({size for _, size in figures})
    table = Table(title="microseconds per call; in brackets: times the plain map under one lock")
    table.add_column("operation")
    for size in sizes:
        table.add_column(f"{size:,} VMAs", justify="right")
    table.add_column(f"growth to {sizes[-1]:,}", justify="right")
    table.add_column("per second at 100,000", justify="right")
    for operation in figures["engine", sizes[0]]:
        ours = [figures["engine", size][operation] for size in sizes]
        ratios = [
            cost / figures["plain", size][operation] for cost, size in zip(ours, sizes, strict=True)
        ]
        cells = [f"{cost:.2f} ({ratio:.1f})" for cost, ratio in zip(ours, ratios, strict=True)]
        rate = 1e6 / figures["engine", 100_000][operation] if 100_000 in sizes else 0
        table.add_row(operation, *cells, f"{ours[-1] / ours[0]:.1f}", f"{rate:,.0f}")
    return table


if __name__ == "__main__":
    gc.disable()
    Console(width=130).print(report(run(SIZES)))
