"""Interrupting a reader: it happens, and leaves nothing behind."""

import errno
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from untorn.errors import OutOfReachError
from untorn.processes import disturbance as module
from untorn.processes.disturbance import INTERRUPTS, PERIODS_NS, Way, disturbance, disturbed

pytestmark = pytest.mark.live
SPIN_NS = 100_000_000


def timer_interrupts() -> int:
    """Timer interrupts of all CPUs since boot."""
    for line in Path("/proc/interrupts").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == "LOC":
            return sum(int(word) for word in counts.split() if word.isdigit())
    pytest.skip("/proc/interrupts has no line LOC on this machine")


def interrupts_of_a_spin() -> int:
    before = timer_interrupts()
    end = time.thread_time_ns() + SPIN_NS
    while time.thread_time_ns() < end:
        pass
    return timer_interrupts() - before


@pytest.fixture(params=INTERRUPTS, ids=lambda way: way.name)
def way(request: pytest.FixtureRequest) -> Way:
    way: Way = request.param
    try:
        way.start(PERIODS_NS[0])()
    except OSError as error:
        pytest.skip(f"{way.name}: {error}")
    return way


def test_the_thread_is_interrupted_far_more_often_than_by_the_kernels_tick(way: Way) -> None:
    stop = way.start(PERIODS_NS[-1])
    try:
        count = interrupts_of_a_spin()
    finally:
        stop()
    # An interrupt may cost more than a period, if a hypervisor delivers it.
    assert count > SPIN_NS / PERIODS_NS[-1] / 10


@pytest.mark.parametrize(
    ("speeds", "expected"),
    [
        ([100, 90, 80, 70, 60, 50, 40, 30], PERIODS_NS[-1]),
        ([100, 90, 80, 70, 60, 24, 90], PERIODS_NS[3]),
        ([100, 10], PERIODS_NS[0]),
    ],
)
def test_the_period_is_the_shortest_that_leaves_the_thread_a_quarter_of_its_speed(
    speeds: list[int], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def start(period_ns: int) -> Callable[[], None]:
        tried.append(period_ns)
        return lambda: tried.append(-period_ns)

    monkeypatch.setattr(module, "_speed", iter(speeds).__next__)
    assert Way("", start).period_ns() == expected
    # Each was stopped again.
    assert tried[1::2] == [-period for period in tried[::2]]


def test_what_disturbs_is_said_and_nothing_of_it_stays() -> None:
    descriptors = set(Path("/proc/self/fd").iterdir())
    handler = signal.getsignal(module._SIGNAL)
    assert disturbance().endswith(" us")
    with disturbed():
        pass
    assert set(Path("/proc/self/fd").iterdir()) == descriptors
    assert signal.getsignal(module._SIGNAL) is handler


def forbid_perf(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(period_ns: int) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(module, "open_cpu_clock", refuse)


def test_without_perf_a_timers_signals_disturb(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_perf(monkeypatch)
    assert disturbance().startswith("signals of a timer every ")


def test_a_handler_that_was_there_is_there_again_and_never_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Another thread may take a signal to the process, and be late.
    forbid_perf(monkeypatch)
    calls: list[int] = []
    done = threading.Event()
    threads = [threading.Thread(target=done.wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    before = signal.signal(module._SIGNAL, lambda number, frame: calls.append(number))
    try:
        for _ in range(2000):
            with disturbed():
                pass
        assert calls == []
        signal.raise_signal(module._SIGNAL)
        assert calls == [module._SIGNAL]
    finally:
        signal.signal(module._SIGNAL, before)
        done.set()
        for thread in threads:
            thread.join()


def test_where_nothing_can_disturb_both_reasons_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_perf(monkeypatch)
    reasons: list[str] = []

    def try_it() -> None:
        try:
            disturbance()
        except OutOfReachError as error:
            reasons.append(str(error))

    thread = threading.Thread(target=try_it)
    thread.start()
    thread.join()
    assert reasons == [
        "the reader cannot be disturbed here: perf cpu-clock: Permission denied; "
        "signals of a timer: signals are handled by the main thread only"
    ]
