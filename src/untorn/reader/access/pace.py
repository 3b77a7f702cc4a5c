"""A pace: calls that may hold up others take no more than a fraction of a thread's time."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
FRACTION = 0.1
"""Of the time, that may be spent inside the calls."""
SHORTEST_PAUSE_NS = 100_000
"""Less than this is not slept for but owed: the kernel sleeps 50 us longer than it is asked to."""


class Pace(threading.local):
    """Spaces calls out; each thread that uses it keeps its own account.

    What a call costs is the CPU time of its thread, in ns: the time that it waited for a lock, or
    for the GIL on its way back, is no time for which it held others up.

    Args:
        fraction: Most of the time that is spent inside the calls, above 0 and at most 1.
        clock: Says what time it is, in ns.
        cpu_clock: Says how much CPU time the thread has used, in ns.
        sleep: Sleeps for some seconds.
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
            raise ValueError(f"a pace of {fraction}: a fraction is above 0 and at most 1")
        self._fraction = fraction
        self._clock, self._cpu_clock, self._sleep = clock, cpu_clock, sleep
        self._due_ns = 0  # before then, nothing more may be spent

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
        """Sleep until the next call is due, if that is worth it; return what time it is then."""
        now = self._clock()
        owed = self._due_ns - now
        if owed < SHORTEST_PAUSE_NS:
            return now
        self._sleep(owed / 1e9)
        return self._clock()
