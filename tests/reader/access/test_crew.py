"""A few threads look at many processes; one that is stuck is left behind."""

import errno
import threading
import time
import warnings
from collections.abc import Callable, Iterator

import pytest

from tests.helpers.tasks import wait_until
from untorn.reader.access import crew as crew_module
from untorn.reader.access import limit
from untorn.reader.access.crew import crew
from untorn.reader.access.limit import check_time

LONG = 60.0
"""Seconds; no look here takes as long."""


@pytest.fixture(autouse=True)
def _leaves_no_thread() -> Iterator[None]:
    yield
    wait_until(lambda: not crew_threads(), "the threads of the crew have ended")


def crew_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "untorn-crew"]


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Yield what stuck looks wait for; it is released at the end, until all have ended."""
    opened = threading.Event()
    yield opened
    opened.set()
    wait_until(lambda: not limit._left_behind, "all looks have ended")


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("number", [0, 1, 30])
def test_each_process_is_looked_at_once(threads: int, number: int) -> None:
    seen: list[int] = []

    def look(pid: int) -> str:
        seen.append(pid)
        return f"of {pid}"

    found = list(crew(lambda: look, range(number), threads, LONG))
    assert sorted(seen) == list(range(number))
    assert sorted(found) == [(pid, f"of {pid}") for pid in range(number)]


def test_by_one_thread_results_come_in_order() -> None:
    assert list(crew(lambda: abs, [3, 1, 2], 1, LONG)) == [(3, 3), (1, 1), (2, 2)]


def test_each_thread_has_a_look_of_its_own() -> None:
    both = threading.Barrier(2, timeout=LONG)

    def make_look() -> Callable[[int], int]:
        mine = threading.get_ident()

        def look(pid: int) -> int:
            both.wait()  # so each thread has one of them
            assert threading.get_ident() == mine
            return mine

        return look

    (_, first), (_, second) = crew(make_look, [1, 2], 2, LONG)
    assert first != second


class Clock:
    """A clock that stands still until it is moved on."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def move_on(self) -> None:
        self.now += LONG


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(crew_module, "time", clock)
    return clock


def test_a_look_that_is_stuck_is_left_behind_and_another_thread_goes_on(clock: Clock) -> None:
    gate = threading.Event()

    def look(pid: int) -> int:
        if pid == 1:
            clock.move_on()
            gate.wait(LONG)
        return pid

    try:
        found = dict(crew(lambda: look, range(6), 1, 2.0))
        late = found.pop(1)
        assert isinstance(late, TimeoutError)
        assert (late.errno, late.strerror) == (errno.ETIMEDOUT, "not read in time")
        assert found == {pid: pid for pid in (0, 2, 3, 4, 5)}
    finally:
        gate.set()


def test_other_threads_go_on_while_one_is_stuck(clock: Clock) -> None:
    gate = threading.Event()
    results = crew(lambda: lambda pid: pid == 1 and gate.wait(LONG), range(6), 3, 2.0)
    try:
        assert sorted(pid for pid, _ in (next(results) for _ in range(5))) == [0, 2, 3, 4, 5]
        clock.move_on()
        ((pid, late),) = results
        assert (pid, type(late)) == (1, TimeoutError)
    finally:
        gate.set()


def test_a_result_that_comes_after_the_look_was_left_behind_is_dropped(clock: Clock) -> None:
    gate, over = threading.Event(), threading.Event()

    def look(pid: int) -> int:
        if pid == 1:
            clock.move_on()
            gate.wait(LONG)
        else:
            over.wait(LONG)
        return pid

    results = crew(lambda: look, [1, 2], 1, 2.0)
    pid, found = next(results)
    assert (pid, type(found)) == (1, TimeoutError)
    gate.set()  # now the first look ends, before the second one
    wait_until(lambda: len(crew_threads()) == 1, "the thread that was left behind has ended")
    over.set()
    assert list(results) == [(2, 2)]


def test_a_look_is_told_when_it_is_late() -> None:
    def look(pid: int) -> str:
        try:
            while True:
                check_time("x")
        except TimeoutError:
            return "it stopped"

    (found,) = crew(lambda: look, [1], 1, 0.05)
    assert found[1] == "it stopped" or isinstance(found[1], TimeoutError)


def test_whoever_stops_asking_stops_the_crew() -> None:
    seen: list[int] = []
    results = crew(lambda: lambda pid: seen.append(pid), range(1_000_000), 2, LONG)
    next(results)
    results.close()  # type: ignore[attr-defined]  # it is a generator
    wait_until(lambda: not crew_threads(), "the threads of the crew have ended")
    assert len(seen) < 1_000_000


def have_no_thread(*arguments: object) -> None:
    raise RuntimeError("can't start new thread")


def test_without_threads_the_caller_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", have_no_thread)
    made: list[int] = []

    def make_look() -> Callable[[int], int]:
        made.append(threading.get_ident())
        return abs

    assert list(crew(make_look, range(1, 30), 3, LONG)) == [(pid, pid) for pid in range(1, 30)]
    assert made == [threading.get_ident()]


@pytest.mark.parametrize("threads", [True, False])
def test_what_a_look_raises_is_raised_to_the_caller(
    monkeypatch: pytest.MonkeyPatch, threads: bool
) -> None:
    def fail(pid: int) -> int:
        raise LookupError(f"{pid}")

    def fail_to_make() -> Callable[[int], int]:
        warnings.warn("not raised", UserWarning, stacklevel=2)
        return abs

    if not threads:
        monkeypatch.setattr(threading.Thread, "start", have_no_thread)
    with pytest.raises(LookupError):
        list(crew(lambda: fail, range(1, 30), 2, LONG))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="not raised"):
            list(crew(fail_to_make, range(1, 30), 2, LONG))


def test_no_more_are_left_behind_than_by_all_looks_together(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limit, "_MOST_LEFT", 3)
    begun: list[int] = []

    def look(pid: int) -> None:
        begun.append(pid)
        gate.wait()

    found = dict(crew(lambda: look, range(1, 30), 2, 0.01))
    assert {type(each) for each in found.values()} == {TimeoutError}
    assert 3 <= len(begun) <= 4  # two look at the same time, and either may be the third
    with pytest.raises(TimeoutError):
        limit.within(LONG, lambda: 1, "x")


def test_at_the_deadline_what_is_left_has_had_no_time(gate: threading.Event) -> None:
    def look(pid: int) -> int:
        if pid > 1:
            gate.wait()
        return pid

    deadline = time.monotonic() + 0.5
    found = dict(crew(lambda: look, range(1, 30), 2, LONG, deadline))
    assert {type(found[pid]) for pid in range(2, 30)} == {TimeoutError}


def test_who_stops_asking_leaves_behind_what_is_stuck(gate: threading.Event) -> None:
    def look(pid: int) -> int:
        if pid > 1:
            gate.wait()
        return pid

    found = crew(lambda: look, [1, 2], 2, LONG)
    assert next(found) == (1, 1)
    wait_until(lambda: len(crew_threads()) == 1, "1 waits")
    found.close()  # type: ignore[attr-defined]
    assert len(limit._left_behind) == 1
