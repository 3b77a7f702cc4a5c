"""A pace: calls that may hold up others take no more than a fraction of a thread's time."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
FRACTION = 0.1
"""The fraction of the time that calls may take."""
SHORTEST_PAUSE_NS = 100_000
"""A shorter pause is not slept but added to the next: the kernel sleeps 50 us too long."""


class Pace(threading.local):
    """Keeps calls apart; each thread that uses it has its own account.

    A call costs the CPU time of its thread, in ns: while it waits for a lock, or for the GIL on its
    way back, it holds nobody up.

    Args:
        fraction: The largest fraction of the time that calls may take; above 0 and at most 1.
        clock: Returns the time in ns.
        cpu_clock: Returns the CPU time that the thread has used, in ns.
        sleep: Sleeps for a number of seconds.
    """

    def __init__(
        self,
        fraction: float = FRACTION,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        cpu_clock: Callable[[], int] = time.thread_time_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not 0 < fraction <= 1:
            raise ValueError(f"a pace of {fraction}: it must be above 0 and at most 1")
        self._fraction = fraction
        self._clock, self._cpu_clock, self._sleep = clock, cpu_clock, sleep
        self._due_ns = 0  # until then, no call may be made

    def spend(self, function: Callable[[], T]) -> T:
        """Call a function, after a pause if one is due."""
        begin = self._pause()
        cpu_begin = self._cpu_clock()
        try:
            return function()
        finally:
            spent = self._cpu_clock() - cpu_begin
            self._due_ns = max(self._due_ns, begin) + int(spent / self._fraction)

    def _pause(self) -> int:
        """Sleep until the next call is due, if that is worth it; return the time after that."""
        now = self._clock()
        owed = self._due_ns - now
        if owed < SHORTEST_PAUSE_NS:
            return now
        self._sleep(owed / 1e9)
        return self._clock()
