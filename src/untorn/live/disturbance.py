"""Interrupt a reader finely, so that it is late between any two of its instructions.

Windows of a race that are a few instructions wide are met by luck once in a million reads. An
interrupt that falls into one keeps it open for microseconds, in which a writer on another CPU
does a whole section. Either of two timers will do; both stop when the disturbance ends.
"""

import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from untorn.errors import OutOfReach, describe
from untorn.live.perf_event import open_cpu_clock

CLOCK_PERIOD_NS = 15_000
"""Between interrupts that cost no more than themselves."""
SIGNAL_PERIOD_NS = 50_000
"""Between interrupts each of which is a signal to handle as well."""


class Way(NamedTuple):
    """One way to interrupt the calling thread."""

    name: str
    period_ns: int
    start: Callable[[int], Callable[[], None]]
    """Takes the period, returns what stops it. OSError if this user or kernel cannot."""


@contextmanager
def disturbed() -> Iterator[None]:
    """Interrupt the calling thread until the context is left.

    Raises:
        OutOfReach: There is no way to do it here.
    """
    _, stop = _start()
    try:
        yield
    finally:
        stop()


def disturbance() -> str:
    """Return which way is used here, in half a line; raises as disturbed()."""
    way, stop = _start()
    stop()
    return f"{way.name} every {way.period_ns // 1000} us"


def _start() -> tuple[Way, Callable[[], None]]:
    """Start the first way that works; return it and what stops it."""
    reasons = []
    for way in WAYS:
        try:
            return way, way.start(way.period_ns)
        except OSError as error:
            reasons.append(f"{way.name}: {describe(error)}")
    raise OutOfReach(f"the reader cannot be disturbed here: {'; '.join(reasons)}")


def _interrupt_by_clock(period_ns: int) -> Callable[[], None]:
    fd = open_cpu_clock(period_ns)
    return lambda: os.close(fd)


def _interrupt_by_signals(period_ns: int) -> Callable[[], None]:
    """Have SIGALRM come again and again; what was set up for it before comes back in the end."""
    if threading.current_thread() is not threading.main_thread():
        raise OSError(errno.EPERM, "signals are handled by the main thread only")
    handler = signal.signal(signal.SIGALRM, lambda number, frame: None)
    timer = signal.setitimer(signal.ITIMER_REAL, period_ns / 1e9, period_ns / 1e9)

    def stop() -> None:
        # In this order: without a handler the signal ends the process.
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)

    return stop


WAYS = (
    Way("perf cpu-clock", CLOCK_PERIOD_NS, _interrupt_by_clock),
    Way("signals of a timer", SIGNAL_PERIOD_NS, _interrupt_by_signals),
)
"""The better one first."""
