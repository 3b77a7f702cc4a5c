"""Interrupt a reader often, so that it is late between any two of its instructions.

A race that lasts for a few instructions is met about once in a million reads. An interrupt among
these makes it last for microseconds, in which a writer on another CPU completes a whole section.
Either of two timers will do; both stop when the disturbance ends.
"""

import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

from untorn.errors import OutOfReachError, describe
from untorn.processes.interrupts import open_cpu_clock, start_thread_timer

PERIODS_NS = tuple(15_000 << n for n in range(6, -1, -1))
"""Nanoseconds from one interrupt to the next, the longest first."""
SPEED = 0.25
"""The share of its speed that the thread must keep: on some machines 15 us leave it nothing."""
_TRIAL_NS = 2_000_000
_SIGNAL = signal.SIGRTMAX
"""A signal that nothing else uses."""


class Way:
    """A way to interrupt the calling thread.

    Attributes:
        name: What it is called.
        start: Starts it with a period in nanoseconds, and returns a function that stops it. Raises
            OSError if this user, kernel or thread cannot use it.
    """

    def __init__(self, name: str, start: Callable[[int], Callable[[], None]]) -> None:
        self.name, self.start = name, start

    @cache  # noqa: B019 - there are two, and they stay
    def period_ns(self) -> int:
        """Return the shortest of PERIODS_NS that leaves the thread its SPEED; raises as start.

        Longer ones are tried first: with a period that is far too short we might never get on.
        """
        undisturbed, best = _speed(), PERIODS_NS[0]
        for period_ns in PERIODS_NS:
            stop = self.start(period_ns)
            try:
                speed = _speed()
            finally:
                stop()
            if speed < SPEED * undisturbed:
                break
            best = period_ns
        return best


def disturbance() -> str:
    """Return which way is used here, as half a line of text.

    Raises:
        OutOfReachError: The calling thread cannot be interrupted here.
    """
    way = _choose()
    return f"{way.name} every {way.period_ns() // 1000} us"


@contextmanager
def disturbed() -> Iterator[None]:
    """Interrupt the calling thread until the context is left; raises as disturbance()."""
    way = _choose()
    stop = way.start(way.period_ns())
    try:
        yield
    finally:
        stop()


def _choose() -> Way:
    """Return the first way that works."""
    reasons = []
    for way in INTERRUPTS:
        try:
            way.start(PERIODS_NS[0])()
        except OSError as error:
            reasons.append(f"{way.name}: {describe(error)}")
        else:
            return way
    raise OutOfReachError(f"the reader cannot be disturbed here: {'; '.join(reasons)}")


def _interrupt_by_clock(period_ns: int) -> Callable[[], None]:
    fd = open_cpu_clock(period_ns)
    return lambda: os.close(fd)


def _interrupt_by_signals(period_ns: int) -> Callable[[], None]:
    """Send the thread a signal again and again; its old handler is back at the end."""
    if threading.current_thread() is not threading.main_thread():
        raise OSError(errno.EPERM, "signals are handled by the main thread only")
    handler = signal.signal(_SIGNAL, lambda number, frame: None)
    try:
        end = start_thread_timer(_SIGNAL, period_ns)
    except OSError:
        signal.signal(_SIGNAL, handler)
        raise

    def stop() -> None:
        # In this order, because a signal without a handler ends the process.
        end()
        signal.signal(_SIGNAL, handler)

    return stop


def _speed() -> int:
    """Return how many loops a thread makes in some milliseconds of its CPU time."""
    rounds, end = 0, time.thread_time_ns() + _TRIAL_NS
    while time.thread_time_ns() < end:
        rounds += 1
    return rounds


INTERRUPTS = (
    Way("perf cpu-clock", _interrupt_by_clock),
    Way("signals of a timer", _interrupt_by_signals),
)
"""The better way first."""
