"""A budget: what all looks at a host may take together, whichever threads make them.

A pace (pace.py) keeps one thread from holding up one process; a budget keeps many looks from
taking a host's time. It has two accounts, of CPU time and of calls that hold a lock. What was not
spent is saved up for some seconds, so that looks that come rarely do not wait. Nobody knows before
what a look takes: it is paid for afterwards, and whoever comes next waits until that is made up.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from untorn.reader.access.pace import SHORTEST_PAUSE_NS

SHARE = 0.25
"""Of a CPU, for all looks."""
HOLDS = 5000.0
"""Calls in a second that hold a lock of a process: rather more than one look makes."""
SAVED = 4.0
"""Seconds for which what is not spent is saved up."""


class Spent(NamedTuple):
    """What looks took since the budget was made."""

    looks: int = 0
    seconds: float = 0
    """CPU time."""
    holds: int = 0
    """Calls that held a lock of a process."""
    longest_hold_ns: int = 0
    """CPU time of the longest of them: what it waited for, as the lock itself, is not in it."""
    waits: int = 0
    waited: float = 0
    """Seconds for which looks waited for the budget."""


class _Thread(threading.local):
    """Up to which CPU time of its own a thread has paid; None while it makes no look."""

    paid_ns: int | None = None


class _Account:
    """What is spent of one kind. All of it is protected by the lock of its budget."""

    def __init__(self, per_second: float, saved_ns: int, now: int) -> None:
        self._ns_each, self._saved_ns = 1e9 / per_second, saved_ns
        self.due_ns = now - saved_ns  # when nothing is owed any more

    def spend(self, amount: float, now: int) -> None:
        self.due_ns = max(self.due_ns, now - self._saved_ns) + int(amount * self._ns_each)


class Budget:
    """What all looks may take together. May be used by any thread.

    The threads that wait go on together, when what was owed is made up: what each of them spends
    then is owed by all again. So over time no more is spent than may be.

    Args:
        share: Of a CPU's time, above 0.
        holds: In a second, above 0.
        saved: Seconds.
        clock: Says what time it is, in ns.
        cpu_clock: Says how much CPU time the thread has used, in ns.
        sleep: Sleeps for some seconds.

    Raises:
        ValueError: The share or the holds are not above 0.
    """

    def __init__(
        self,
        share: float = SHARE,
        holds: float = HOLDS,
        saved: float = SAVED,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        cpu_clock: Callable[[], int] = time.thread_time_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not (share > 0 and holds > 0):
            raise ValueError(f"a budget of {share} CPUs and {holds} holds: both are above 0")
        self._clock, self._cpu_clock, self._sleep = clock, cpu_clock, sleep
        self._thread = _Thread()
        self._lock = threading.Lock()  # nothing is taken, and nobody sleeps, while it is held
        now, saved_ns = clock(), int(saved * 1e9)
        self._cpu = _Account(share, saved_ns, now)  # seconds; protected by _lock
        self._held = _Account(holds, saved_ns, now)  # protected by _lock
        self._spent = Spent()  # protected by _lock

    @property
    def spent(self) -> Spent:
        """What looks took so far."""
        with self._lock:
            return self._spent

    @contextmanager
    def look(self) -> Iterator[None]:
        """Have the CPU time that the thread uses inside paid for; it waits before it begins."""
        self._thread.paid_ns = self._cpu_clock()
        try:
            self.wait()
            yield
        finally:
            self._pay()
            self._thread.paid_ns = None
            with self._lock:
                self._spent = self._spent._replace(looks=self._spent.looks + 1)

    def wait(self) -> None:
        """Pay for what the thread did so far, and wait until nothing is owed."""
        owed = self._pay()
        if owed < SHORTEST_PAUSE_NS:
            return
        with self._lock:
            waits, waited = self._spent.waits + 1, self._spent.waited + owed / 1e9
            self._spent = self._spent._replace(waits=waits, waited=waited)
        self._sleep(owed / 1e9)

    def count_hold(self, cpu_ns: int) -> None:
        """Count a call that held a lock of a process, by the CPU time that it took."""
        with self._lock:
            self._held.spend(1, self._clock())
            longest = max(self._spent.longest_hold_ns, cpu_ns)
            self._spent = self._spent._replace(holds=self._spent.holds + 1, longest_hold_ns=longest)

    def _pay(self) -> int:
        """Pay for the thread's CPU time since it last did; return how many ns are owed then."""
        used, before = self._cpu_clock(), self._thread.paid_ns
        seconds = 0 if before is None else (used - before) / 1e9
        if before is not None:
            self._thread.paid_ns = used
        with self._lock:
            now = self._clock()
            self._cpu.spend(seconds, now)
            self._spent = self._spent._replace(seconds=self._spent.seconds + seconds)
            return max(self._cpu.due_ns, self._held.due_ns) - now
