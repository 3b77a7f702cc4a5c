"""The simulation's mmap_lock: who gets it before whom."""

import errno
from collections.abc import Iterator

import pytest

from untorn.locking import sync
from untorn.mm.mm_types import MMAP_LOCK
from untorn.sim.costs import CostTable
from untorn.sim.fair import TICK_NS
from untorn.sim.rwsem import StolenRwSemaphore
from untorn.sim.simulation import Simulation, simulating

HOLD = TICK_NS // 4


@pytest.fixture
def simulation() -> Iterator[Simulation]:
    with simulating(2, CostTable.load().costs, "full") as simulation:
        yield simulation


def read_again_and_again(simulation: Simulation, lock: StolenRwSemaphore, times: int) -> None:
    for _ in range(times):
        lock.down_read()
        simulation.burn(HOLD)
        lock.up_read()


def test_a_reader_overtakes_a_writer_for_a_tick_or_two_and_no_longer(
    simulation: Simulation,
) -> None:
    lock, waited = StolenRwSemaphore(MMAP_LOCK), []

    def write() -> None:
        simulation.burn(HOLD // 2)  # the reader is in
        began = simulation.now
        lock.down_write()
        waited.append(simulation.now - began)
        lock.up_write()

    simulation.add("reader", lambda: read_again_and_again(simulation, lock, 100), cpus=(1,))
    simulation.add("writer", write, cpus=(0,))
    simulation.run()

    assert HOLD < waited[0] <= 2 * TICK_NS + 2 * HOLD


def test_a_writer_lets_all_readers_in_that_wait(simulation: Simulation) -> None:
    lock, ended = StolenRwSemaphore(MMAP_LOCK), []

    def write() -> None:
        lock.down_write()
        simulation.burn(HOLD)
        lock.up_write()

    def read() -> None:
        simulation.burn(HOLD // 2)  # the writer is in
        lock.down_read()
        ended.append(lock.is_write_locked())
        simulation.burn(HOLD)
        lock.up_read()

    simulation.add("writer", write, cpus=(0,))
    for number in range(2):
        simulation.add(f"reader {number}", read, cpus=(1,))
    simulation.run()

    assert ended == [False, False]
    assert not lock.is_contended()


def test_the_only_one_that_waits_may_be_killed(simulation: Simulation) -> None:
    lock = StolenRwSemaphore(MMAP_LOCK)
    waiting: list[sync.Task] = []
    ended: list[int | None] = []

    def write() -> None:
        lock.down_write()
        simulation.burn(HOLD)
        waiting[0].kill()
        simulation.burn(HOLD)
        lock.up_write()

    def read() -> None:
        simulation.burn(HOLD // 2)  # the writer is in
        waiting.append(sync.current())
        try:
            lock.down_read(killable=True)
        except OSError as error:
            ended.append(error.errno)

    simulation.add("writer", write, cpus=(0,))
    simulation.add("reader", read, cpus=(1,))
    simulation.run()

    assert ended == [errno.EINTR]
    assert not lock.is_contended()
