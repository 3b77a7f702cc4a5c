"""A few threads look at many processes; one that is stuck is left behind."""

import errno
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.helpers.tasks import wait_until
from untorn.reader.access.crew import crew
from untorn.reader.access.limit import check_time

LONG = 60.0
"""Seconds that no look here takes."""


@pytest.fixture(autouse=True)
def _leaves_no_thread() -> Iterator[None]:
    yield
    wait_until(lambda: not crew_threads(), "the threads of the crew have ended")


def crew_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "untorn-crew"]


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


@pytest.mark.parametrize("threads", [1, 3])
def test_a_look_that_is_stuck_is_left_behind_and_others_go_on(threads: int) -> None:
    gate = threading.Event()

    def look(pid: int) -> int:
        if pid == 1:
            gate.wait(LONG)
        return pid

    try:
        found = dict(crew(lambda: look, range(6), threads, 0.2))
        late = found.pop(1)
        assert isinstance(late, TimeoutError)
        assert (late.errno, late.strerror) == (errno.ETIMEDOUT, "not read within 0.2 s")
        assert found == {pid: pid for pid in (0, 2, 3, 4, 5)}
    finally:
        gate.set()


def test_a_result_that_comes_after_the_look_was_left_behind_is_dropped() -> None:
    gate = threading.Event()
    seen = []
    for pid, found in crew(lambda: lambda pid: gate.wait(LONG) and pid, [1, 2], 1, 0.2):
        gate.set()
        seen.append((pid, type(found)))
    assert seen[0] == (1, TimeoutError)
    assert [pid for pid, _ in seen] == [1, 2]


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
