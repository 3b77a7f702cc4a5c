"""Counts in the background, of processes that do not exist."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.helpers.export import process, sums
from untorn.serve.export.counts import Counts
from untorn.serve.export.process_looks import LATE, Process, Seen

LONG = 60.0
"""Seconds; nothing takes as long unless it is broken."""


class FakeCounter:
    """Counts a process when it is told to."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.go_on = threading.Semaphore(0)
        self.find: Callable[[Process], Seen | None] = lambda each: found(each)

    def count(self, process: Process) -> Seen | None:
        self.begun.append(process.pid)
        assert self.go_on.acquire(timeout=LONG)
        return self.find(process)

    def time_to_count(self, process: Process) -> float:
        return LONG


def found(process: Process, took: float = 0) -> Seen:
    return Seen(process, sums=sums(time.monotonic(), process.pid, took))


def later() -> float:
    return time.monotonic() + LONG


@contextmanager
def counting(counter: FakeCounter) -> Iterator[Counts]:
    """Counts that end with the test, and their thread."""
    try:
        yield (counts := Counts(counter))
    finally:
        counter.go_on.release(100)
        while any(each.name == "untorn-counts" for each in threading.enumerate()):
            time.sleep(0.001)
    assert counts.pending() == 0


def test_the_smallest_is_counted_first_and_who_waits_longest_next() -> None:
    counter = FakeCounter()
    with counting(counter) as counts:
        sizes = {process(1): 30, process(2): 10, process(3): 20}
        counts.ask(sizes, since=0)
        assert counts.pending() == 3
        counter.go_on.release(3)
        counts.wait(later())
        assert counter.begun == [2, 3, 1]
        counts.ask(sizes | {process(4): 99}, since=later())
        counter.go_on.release(4)
        counts.wait(later())
        assert counter.begun == [2, 3, 1, 4, 2, 3, 1]
        assert {each.pid for each in counts.known()} == {1, 2, 3, 4}


def test_what_was_counted_since_is_not_counted_again() -> None:
    counter = FakeCounter()
    with counting(counter) as counts:
        began = time.monotonic()
        counter.go_on.release(9)
        counts.ask({process(1): 1}, since=0)
        counts.wait(later())
        counts.ask({process(1): 1}, since=began)
        assert counts.pending() == 0


def test_what_is_not_asked_for_is_forgotten() -> None:
    counter = FakeCounter()
    with counting(counter) as counts:
        counter.go_on.release(2)
        counts.ask({process(1): 1, process(2): 2}, since=0)
        counts.wait(later())
        counts.ask({process(2): 2}, since=0)
        assert list(counts.known()) == [process(2)]


def test_nobody_waits_for_what_takes_longer_than_there_is_time() -> None:
    counter = FakeCounter()
    counter.find = lambda each: found(each, took=2 * LONG)
    with counting(counter) as counts:
        counter.go_on.release()
        counts.ask({process(1): 1}, since=0)
        counts.wait(later())
        counts.ask({process(1): 1}, since=later())
        counts.wait(later())  # this would be the end of the test
        assert counts.pending() == 1


def test_who_waits_has_an_end() -> None:
    counter = FakeCounter()
    with counting(counter) as counts:
        counts.ask({process(1): 1}, since=0)
        counts.wait(time.monotonic() + 0.01)
        assert counts.pending() == 1


def test_what_could_not_be_counted_keeps_what_it_had() -> None:
    counter = FakeCounter()
    with counting(counter) as counts:
        counter.go_on.release(2)
        counts.ask({process(1): 1}, since=0)
        counts.wait(later())
        before = counts.known()[process(1)].sums
        assert before
        counter.find = lambda each: Seen(each, unread=LATE)
        counts.ask({process(1): 1}, since=later())
        counts.wait(later())
        assert counts.known()[process(1)] == Seen(process(1), sums=before, unread=LATE)


@pytest.mark.parametrize("gone", ["before", "meanwhile"])
def test_what_is_gone_is_not_known(gone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(process: Process) -> float:
        raise ProcessLookupError

    counter = FakeCounter()
    counter.find = lambda each: None
    if gone == "before":
        monkeypatch.setattr(counter, "time_to_count", refuse)
    with counting(counter) as counts:
        counter.go_on.release()
        counts.ask({process(1): 1}, since=0)
        counts.wait(later())
        assert counts.known() == {}


def test_what_is_stuck_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = FakeCounter()
    monkeypatch.setattr(counter, "time_to_count", lambda each: 0.01)
    with counting(counter) as counts:
        counts.ask({process(1): 1}, since=0)
        counts.wait(later())
        assert counts.known()[process(1)].unread == LATE


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_mistake_of_ours_does_not_end_counting() -> None:
    def fail(process: Process) -> Seen:
        raise ZeroDivisionError

    counter = FakeCounter()
    counter.find = fail
    with counting(counter) as counts:
        counter.go_on.release(2)
        counts.ask({process(1): 1}, since=0)
        counts.wait(later())
        assert counts.pending() == 0
        counter.find = found
        counts.ask({process(1): 1}, since=0)
        counts.wait(later())
        assert list(counts.known()) == [process(1)]
