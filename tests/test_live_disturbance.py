"""Interrupting a reader: it happens, and nothing of it stays."""

import errno
import signal
import threading
import time
from pathlib import Path

import pytest

from untorn.errors import OutOfReach
from untorn.live import disturbance as module
from untorn.live.disturbance import SIGNAL_PERIOD_NS, WAYS, disturbance, disturbed

pytestmark = pytest.mark.live
SPIN_NS = 100_000_000


def timer_interrupts() -> int:
    """Of all CPUs, since boot."""
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


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_the_thread_is_interrupted_far_more_often_than_by_the_kernels_tick(
    way: module.Way,
) -> None:
    try:
        stop = way.start(way.period_ns)
    except OSError as error:
        pytest.skip(f"{way.name}: {error}")
    try:
        count = interrupts_of_a_spin()
    finally:
        stop()
    # An interrupt may cost more than a period, where a hypervisor brings it about.
    assert count > SPIN_NS / way.period_ns / 10


def test_what_disturbs_is_said_and_nothing_of_it_stays() -> None:
    descriptors = set(Path("/proc/self/fd").iterdir())
    timer, handler = signal.getitimer(signal.ITIMER_REAL), signal.getsignal(signal.SIGALRM)
    assert disturbance().endswith(" us")
    with disturbed():
        pass
    assert set(Path("/proc/self/fd").iterdir()) == descriptors
    assert signal.getitimer(signal.ITIMER_REAL)[1] == timer[1]
    assert signal.getsignal(signal.SIGALRM) is handler


def forbid_perf(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(period_ns: int) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(module, "open_cpu_clock", refuse)


def test_without_perf_a_timers_signals_disturb(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_perf(monkeypatch)
    assert disturbance() == f"signals of a timer every {SIGNAL_PERIOD_NS // 1000} us"


def test_a_timer_and_a_handler_that_were_there_are_there_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forbid_perf(monkeypatch)
    calls: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: calls.append(number))
    timer = signal.setitimer(signal.ITIMER_REAL, 3600, 1800)
    try:
        with disturbed():
            assert signal.getitimer(signal.ITIMER_REAL)[1] < 1
        left, interval = signal.getitimer(signal.ITIMER_REAL)
        assert 0 < left <= 3600
        assert interval == 1800
        signal.raise_signal(signal.SIGALRM)
        assert calls == [signal.SIGALRM]
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, before)


def test_where_nothing_can_disturb_both_reasons_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_perf(monkeypatch)
    reasons: list[str] = []

    def try_it() -> None:
        try:
            disturbance()
        except OutOfReach as error:
            reasons.append(str(error))

    thread = threading.Thread(target=try_it)
    thread.start()
    thread.join()
    assert reasons == [
        "the reader cannot be disturbed here: perf cpu-clock: Permission denied; "
        "signals of a timer: signals are handled by the main thread only"
    ]
