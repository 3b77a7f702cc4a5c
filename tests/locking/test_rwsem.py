"""The reader-writer semaphore: exclusion, order of arrival, hand-over, downgrade, kill."""

import errno

import pytest

from tests.helpers.tasks import Worker, wait_until
from untorn.errors import LockOrderError
from untorn.locking import sync
from untorn.locking.lockdep import LockClass
from untorn.locking.rwsem import RwSemaphore

CLASS = LockClass("test lock")


@pytest.fixture
def sem() -> RwSemaphore:
    return RwSemaphore(CLASS)


def waiting(sem: RwSemaphore, count: int) -> None:
    wait_until(lambda: len(sem._queue) == count, f"{count} waiters")


def in_turn(sem: RwSemaphore, log: list[str], name: str, write: bool) -> Worker[None]:
    """Start a task that takes the lock, logs its name, and releases the lock."""

    def work() -> None:
        (sem.down_write if write else sem.down_read)()
        log.append(name)
        (sem.up_write if write else sem.up_read)()

    return Worker(work, name)


def test_readers_share(sem: RwSemaphore) -> None:
    sem.down_read()
    log: list[str] = []
    in_turn(sem, log, "reader", write=False).join()
    assert log == ["reader"]
    sem.up_read()


def test_a_writer_waits_for_readers_and_then_is_alone(sem: RwSemaphore) -> None:
    sem.down_read()
    log: list[str] = []
    writer = in_turn(sem, log, "writer", write=True)
    waiting(sem, 1)
    assert log == []
    sem.up_read()
    writer.join()
    assert log == ["writer"]


def test_a_queued_writer_stops_readers_that_come_later(sem: RwSemaphore) -> None:
    # 1. The test holds the lock for reading. 2. A writer queues. 3. A reader comes: it must wait,
    # although readers share the lock, and gets it after the writer.
    sem.down_read()
    log: list[str] = []
    writer = in_turn(sem, log, "writer", write=True)
    waiting(sem, 1)
    reader = in_turn(sem, log, "reader", write=False)
    waiting(sem, 2)
    assert Worker(sem.down_read_trylock).join() is False
    sem.up_read()
    writer.join()
    reader.join()
    assert log == ["writer", "reader"]


def test_the_lock_is_handed_over_in_order_of_arrival(sem: RwSemaphore) -> None:
    sem.down_write()
    log: list[str] = []
    workers = []
    for number, write in enumerate((True, True, False, False, True)):
        workers.append(in_turn(sem, log, f"{number}", write))
        waiting(sem, number + 1)
    sem.up_write()
    for worker in workers:
        worker.join()
    assert log[:2] + sorted(log[2:4]) + log[4:] == ["0", "1", "2", "3", "4"]


def test_downgrade_lets_readers_in_and_keeps_writers_out(sem: RwSemaphore) -> None:
    sem.down_write()
    log: list[str] = []
    reader = in_turn(sem, log, "reader", write=False)
    waiting(sem, 1)
    sem.downgrade_write()
    reader.join()
    writer = in_turn(sem, log, "writer", write=True)
    waiting(sem, 1)
    assert log == ["reader"]
    sem.up_read()
    writer.join()


@pytest.mark.parametrize("write", [False, True])
def test_a_killed_waiter_gives_up_with_eintr_and_holds_nothing(
    sem: RwSemaphore, write: bool
) -> None:
    sem.down_write()
    down = sem.down_write if write else sem.down_read
    victim = Worker(lambda: down(killable=True))
    waiting(sem, 1)
    victim.task.kill()
    with pytest.raises(InterruptedError) as caught:
        victim.join()
    assert caught.value.errno == errno.EINTR
    sem.up_write()
    log: list[str] = []
    in_turn(sem, log, "after", write=True).join()
    assert log == ["after"]


def test_a_killed_writer_in_the_queue_lets_in_the_readers_after_it(sem: RwSemaphore) -> None:
    sem.down_read()
    victim = Worker(lambda: sem.down_write(killable=True))
    waiting(sem, 1)
    log: list[str] = []
    reader = in_turn(sem, log, "reader", write=False)
    waiting(sem, 2)
    victim.task.kill()
    reader.join()
    with pytest.raises(InterruptedError):
        victim.join()
    sem.up_read()


def test_an_exception_in_a_wait_takes_the_waiter_off_the_queue(
    sem: RwSemaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sem.down_write()

    def interrupted(*args: object, **kwargs: object) -> bool:
        raise KeyboardInterrupt

    def work() -> None:
        monkeypatch.setattr(sync.Task, "wait_until", interrupted)
        sem.down_read()

    with pytest.raises(KeyboardInterrupt):
        Worker(work).join()
    assert sem._queue == ()
    sem.up_write()
    assert sem.down_read_trylock()
    sem.up_read()


@pytest.mark.parametrize("write", [False, True])
def test_an_exception_after_the_hand_over_releases_the_lock(
    sem: RwSemaphore, write: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(RwSemaphore, "_count_wait", interrupted)
    sem.down_write()
    victim = Worker(sem.down_write if write else sem.down_read)
    waiting(sem, 1)
    sem.up_write()
    with pytest.raises(KeyboardInterrupt):
        victim.join()
    assert sem.owner is None
    sem.down_write()
    sem.up_write()


def test_statistics_count_requests_and_waits(sem: RwSemaphore) -> None:
    sem.down_read()
    writer = in_turn(sem, [], "writer", write=True)
    waiting(sem, 1)
    sem.up_read()
    writer.join()
    statistics = sem.statistics()
    assert (statistics.reads, statistics.writes) == (1, 1)
    assert (statistics.reads_waited, statistics.writes_waited) == (0, 1)
    assert statistics.write_wait_max_ns == statistics.write_wait_ns > 0


def test_repr_shows_the_state(sem: RwSemaphore) -> None:
    sem.down_read()
    assert repr(sem) == "<RwSemaphore test lock 1 readers, 0 waiting>"
    sem.up_read()


def test_taking_a_lock_twice_is_a_lock_order_error(sem: RwSemaphore) -> None:
    sem.down_read()
    with pytest.raises(LockOrderError, match="test lock"):
        sem.down_read()
    sem.up_read()
