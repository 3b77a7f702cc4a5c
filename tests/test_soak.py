"""Random writers and readers of every kind at once; invariants checked after every operation.

What readers are shown is held to the contract. A second process that comes and goes shares the
store of VMA objects, so objects are recycled between the two.
"""

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.helpers.engine import FIXED, RW, Pages, addr
from tests.helpers.tasks import background
from untorn.fs.proc.maps_locking import MAPS_LOCKINGS
from untorn.judge.contract import judge
from untorn.judge.report import report
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mm_types import VmaSlab
from untorn.mm.mmap_lock import mmap_read_lock, mmap_read_unlock
from untorn.race.passes import WAYS
from untorn.race.random_writer import RandomWriter
from untorn.race.record import RecordedMm
from untorn.race.witness import Clock
from untorn.syscalls import Process


@pytest.fixture
def soak_seconds(request: pytest.FixtureRequest) -> float:
    seconds: float = request.config.getoption("--soak-seconds")
    return seconds


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
        self.mm = RecordedMm(self.slab)
        self.process = Process(self.mm)
        self.random = RandomWriter("soak")
        self.site = self.random.site(self.random.set_up(self.process))
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

    def check(self) -> None:
        mm = self.process.mm
        mmap_read_lock(mm)
        try:
            mm.check_invariants()
        finally:
            mmap_read_unlock(mm)

    def writer(self, random: RandomWriter) -> Callable[[], None]:
        def step() -> None:
            random.modify(self.process, self.site)
            self.check()

        return self.loop("writes", step)

    def neighbour(self) -> Callable[[], None]:
        def step() -> None:
            other = Pages(self.slab)
            for page in range(0, 12, 2):
                other.mmap(addr(page), PAGE_SIZE, RW, FIXED)
            other.unmap(3, 9)
            other.exit()

        return self.loop("processes", step)

    def reader(self, strategy: str, way: str) -> Callable[[], None]:
        file = self.process.open("maps", strategy)
        record = self.mm.mm_mt.record.viewer()
        clock = Clock(record.version, record.version)

        def step() -> None:
            reading = WAYS[way](file, "maps", clock)
            history = record.since(reading.fills[0].first)
            for violation in judge(history, reading).violations:
                pytest.fail("\n".join(report(violation, reading, history)))

        return self.loop(f"{strategy} {way}", step)


@pytest.mark.soak
@pytest.mark.usefixtures("_switch_often")
def test_random_writers_and_readers_break_no_invariant_and_no_rule(soak_seconds: float) -> None:
    soak = Soak()
    writers = [soak.writer(each) for each in soak.random.writers()]
    readers = [soak.reader(strategy, way) for strategy in MAPS_LOCKINGS for way in WAYS]
    with background(*writers, soak.neighbour(), *readers):
        soak.stop.wait(soak_seconds)
        soak.stop.set()
    print(dict(soak.counts))
    soak.check()
    assert all(vma.vm_refcnt.load() == 1 for _, _, vma in soak.process.mm.mm_mt)
    assert set(soak.counts) == {"writes", "processes"} | {
        f"{strategy} {way}" for strategy in MAPS_LOCKINGS for way in WAYS
    }
    assert all(soak.counts.values())
