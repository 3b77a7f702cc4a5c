"""Random writers and readers of every kind at once; invariants checked after every operation.

Pages 0-199 are mapped at every instant (only protected anew or mapped over), so every pass of
every reader has to cover them. In pages 200-399 anything goes. A second process that comes and
goes shares the store of VMA objects, so objects are recycled between the two.
"""

import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from engine import FIXED, RW, Pages, addr, page_of, shown
from tasks import background
from untorn.fs.proc.maps_locking import STRATEGIES
from untorn.fs.proc.procmap_query import QueryFlags
from untorn.mm.mman import PROT_EXEC, PROT_NONE, PROT_READ
from untorn.mm.page import PAGE_SIZE
from untorn.mm.vma import VmaSlab

SOLID, END = 200, 400
PROTECTIONS = (PROT_NONE, PROT_READ, RW, RW | PROT_EXEC)
NEXT = QueryFlags.COVERING_OR_NEXT_VMA


@pytest.fixture
def soak_seconds(request) -> float:
    return request.config.getoption("--soak-seconds")


@pytest.fixture
def _switch_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


class Soak:
    """The shared state of one run: stop is set when time is up or somebody failed."""

    def __init__(self) -> None:
        self.slab = VmaSlab()
        self.process = Pages(self.slab)
        self.process.map(0, SOLID)
        self.stop = threading.Event()
        self.counts: Counter[str] = Counter()
        self._mutex = threading.Lock()

    def loop(self, name: str, step: Callable[[], object]) -> Callable[[], None]:
        """Repeat step until the end; a failure ends the run for all."""

        def run() -> None:
            done = 0
            try:
                while not self.stop.is_set():
                    step()
                    done += 1
            finally:
                self.stop.set()
                with self._mutex:
                    self.counts[name] += done

        return run

    def writer(self, seed: int) -> Callable[[], None]:
        chance = random.Random(seed)
        process = self.process

        def step() -> None:
            first = chance.randrange(END)
            end = min(first + chance.choice((1, 1, 2, 3, 10, 60)), SOLID if first < SOLID else END)
            prot = chance.choice(PROTECTIONS)
            kind = chance.randrange(3 if first >= SOLID else 2)
            try:
                (process.map, process.protect, lambda a, b, _: process.unmap(a, b))[kind](
                    first, end, prot
                )
            except MemoryError:
                raise
            except OSError:  # mprotect over a hole
                assert first >= SOLID

        return self.loop("writes", step)

    def neighbour(self) -> Callable[[], None]:
        def step() -> None:
            other = Pages(self.slab)
            for page in range(0, 12, 2):
                other.mmap(addr(page), PAGE_SIZE, RW, FIXED)
            other.unmap(3, 9)
            other.exit()

        return self.loop("processes", step)

    def reader(self, strategy: str, size: int) -> Callable[[], None]:
        file = self.process.open_maps(strategy)

        def step() -> None:
            file.seek(0)
            text = b""
            while chunk := file.read(size):
                text += chunk
            check_reading(shown(text))

        return self.loop(f"{strategy} passes", step)

    def walker(self, strategy: str) -> Callable[[], None]:
        file = self.process.open_maps(strategy)

        def step() -> None:
            at, seen = 0, []
            while at < addr(SOLID):
                vma = file.query(at, NEXT)
                seen.append((page_of(vma.start), page_of(vma.end)))
                at = vma.end
            check_reading(seen)

        return self.loop(f"{strategy} walks", step)


def check_reading(lines: list[tuple[int, int]]) -> None:
    """Ends go up strictly, and no page that is always mapped is left out."""
    covered = 0
    end_before = -1
    for start, end in lines:
        assert end > end_before, f"ends go back at {start}-{end}: {lines}"
        assert start <= covered or covered >= SOLID, f"pages {covered}-{start} missing: {lines}"
        covered = max(covered, end)
        end_before = end
    assert covered >= SOLID, f"pages from {covered} on missing: {lines}"


@pytest.mark.soak
@pytest.mark.usefixtures("_switch_often")
def test_random_writers_and_readers_break_no_invariant(soak_seconds) -> None:
    soak = Soak()
    readers = [soak.reader(strategy, 4096) for strategy in STRATEGIES]
    walkers = [soak.walker(strategy) for strategy in ("mmap_lock", "vma_lock")]
    tasks = [soak.writer(1), soak.writer(2), soak.neighbour(), soak.reader("vma_lock", 100)]
    with background(*tasks, *readers, *walkers):
        soak.stop.wait(soak_seconds)
        soak.stop.set()
    print(dict(soak.counts))
    soak.process.check()
    assert all(vma.vm_refcnt.load() == 1 for _, _, vma in soak.process.mm.mm_mt)
    assert all(soak.counts[name] for name in ("writes", "processes", "vma_lock passes"))
