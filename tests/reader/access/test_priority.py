"""A thread's priority is raised for one call only, and restored however the call ends."""

import os
import random
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

import pytest

from tests.helpers.nobody import as_nobody
from untorn.reader.access.priority import (
    FIFO,
    NotRaisedWarning,
    Raise,
    Steps,
    call_raised,
    find_raise,
    lowest_nice,
    may,
    to_nice,
)

RESET = os.SCHED_RESET_ON_FORK
policy_now = partial(os.sched_getscheduler, 0)
nice_now = partial(os.getpriority, os.PRIO_PROCESS, 0)
ways = pytest.mark.parametrize("way", [FIFO, to_nice(-20)], ids=lambda way: way.name)


@pytest.fixture(autouse=True)
def _given_back() -> Iterator[None]:
    before = policy_now(), nice_now()
    yield
    assert (policy_now(), nice_now()) == before


def prepare(way: Raise) -> Steps:
    """The way to raise this thread; skips the test if that is not allowed."""
    change = way.prepare()
    if change is None or not may(way):
        pytest.skip(f"this user may not raise a thread to {way.name}")
    return change


def standing() -> tuple[int, int]:
    return policy_now(), nice_now()


def raised(way: Raise) -> tuple[int, int]:
    return (os.SCHED_FIFO | RESET, nice_now()) if way is FIFO else (policy_now(), -20)


@ways
def test_the_call_is_made_once_raised_and_its_result_returned(way: Raise) -> None:
    calls: list[int] = []

    def call() -> tuple[int, int]:
        calls.append(1)
        return standing()

    assert call_raised(prepare(way), call) == raised(way)
    assert calls == [1]


@ways
@pytest.mark.parametrize("error", [ProcessLookupError, KeyboardInterrupt, PermissionError])
def test_an_exception_from_the_call_comes_out_with_the_priority_given_back(
    way: Raise, error: type[BaseException]
) -> None:
    before = standing()

    def fail() -> None:
        assert standing() == raised(way)
        raise error

    expected = raised(way), prepare(way)
    with pytest.raises(error):
        call_raised(expected[1], fail)
    assert standing() == before


@ways
def test_an_ordinary_policy_and_nice_value_come_back_as_they_were(way: Raise) -> None:
    prepare(way)

    def check() -> None:
        os.setpriority(os.PRIO_PROCESS, 0, 7)
        for policy in (os.SCHED_BATCH, os.SCHED_IDLE, os.SCHED_OTHER | RESET):
            os.sched_setscheduler(0, policy, os.sched_param(0))
            call_raised(prepare(way), int)
            assert standing() == (policy, 7)

    in_thread(check)


def test_a_real_time_thread_is_left_alone() -> None:
    prepare(FIFO)

    def check() -> None:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(3))
        assert FIFO.prepare() is None
        assert find_raise() is FIFO
        assert os.sched_getparam(0).sched_priority == 3

    in_thread(check)


def test_a_thread_that_is_nicer_than_asked_for_is_left_alone() -> None:
    assert to_nice(nice_now()).prepare() is None


@ways
def test_other_threads_keep_their_priority(way: Raise) -> None:
    change, main = prepare(way), threading.get_native_id()

    def check() -> None:
        mine = way.prepare()
        assert mine
        assert call_raised(mine, partial(os.sched_getscheduler, main)) == before[0]
        assert call_raised(mine, partial(os.getpriority, os.PRIO_PROCESS, main)) == before[1]

    before = standing()
    in_thread(check)
    assert call_raised(change, int) == 0


def in_thread(function: Callable[[], None]) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            function()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


class AlarmError(Exception):
    """Raised by the handler of SIGALRM."""


@contextmanager
def alarms(note: Callable[[], None]) -> Iterator[None]:
    def handle(number: int, frame: FrameType | None) -> None:
        note()
        raise AlarmError

    before = signal.signal(signal.SIGALRM, handle)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@ways
def test_a_signal_handler_that_raises_runs_and_leaves_unraised_whenever_it_comes(
    way: Raise,
) -> None:
    prepare(way)
    before, seen = standing(), []
    chance = random.Random(1)
    with alarms(lambda: seen.append(standing())):
        for _ in range(400):
            try:
                # Comes during the call, during the restore, or after it.
                delay = chance.uniform(1e-6, 3e-5)
                call_raised(prepare(way), partial(signal.setitimer, signal.ITIMER_REAL, delay))
                while True:
                    call_raised(prepare(way), int)
            except AlarmError:
                assert standing() == before
    assert set(seen) == {before}
    assert len(seen) == 400


@ways
def test_a_handler_that_raises_inside_the_call_finds_the_priority_given_back(way: Raise) -> None:
    # A read(2) that a signal interrupts runs the handler itself, and does not return.
    change, (reader, writer) = prepare(way), os.pipe()
    before = standing()
    with alarms(lambda: None):
        signal.setitimer(signal.ITIMER_REAL, 1e-2)
        with pytest.raises(AlarmError):
            call_raised(change, partial(os.read, reader, 1))
    assert standing() == before
    os.close(reader)
    os.close(writer)


def refuse(*arguments: object) -> None:
    raise PermissionError


def test_what_the_function_may_not_do_is_its_own_error() -> None:
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise PermissionError

    with pytest.raises(PermissionError):
        call_raised(Steps(int, int, int), fail)
    assert calls == [1]


def test_a_raise_that_is_refused_calls_nothing() -> None:
    calls: list[int] = []
    with pytest.raises(NotRaisedWarning):
        call_raised(Steps(refuse, int, int), partial(calls.append, 1))
    assert calls == []


def test_what_cannot_be_given_back_whole_is_given_back_marked_and_the_result_kept() -> None:
    given: list[str] = []
    change = Steps(int, refuse, partial(given.append, "marked"))
    assert call_raised(change, partial(int, "5")) == 5
    assert given == ["marked"]


def test_what_may_be_raised_is_tried_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[object, ...]] = []

    def note_and_refuse(*arguments: object) -> None:
        tried.append(arguments)
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", note_and_refuse)
    monkeypatch.setattr(os, "setpriority", note_and_refuse)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (0, 0))
    assert find_raise() is None
    assert lowest_nice() == nice_now()
    assert any(os.SCHED_FIFO | RESET in arguments for arguments in tried)
    assert any(-20 in arguments for arguments in tried)


@pytest.mark.parametrize(
    ("rtprio", "nice", "name"),
    [(1, 0, "SCHED_FIFO 1"), (0, 25, "nice -5"), (0, 40, "nice -20"), (0, 0, "None")],
)
def test_the_best_that_the_limits_allow_is_found(rtprio: int, nice: int, name: str) -> None:
    code = "print(getattr(find_raise(), 'name', None))"
    assert as_nobody(rtprio, nice, code) == f"{name}\n"


def test_limits_are_right_enough_and_only_the_mark_for_children_stays() -> None:
    code = """
for way in find_raise(), to_nice(-5):
    for _ in range(2):
        print(way.name, call_raised(way.prepare(), lambda: (os.sched_getscheduler(0), os.nice(0))))
        print(os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK, os.nice(0))
"""
    raised = f"SCHED_FIFO 1 ({os.SCHED_FIFO | RESET}, 0)"
    nicer = f"nice -5 ({RESET}, -5)"
    expected = [raised, "0 0", raised, "0 0", nicer, "0 0", nicer, "0 0"]
    assert as_nobody(1, 25, code).splitlines() == expected
