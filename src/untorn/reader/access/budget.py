"""A budget: what all looks at a host may use together, from any thread.

A pace (pace.py) keeps one thread from holding up one process; a budget keeps many looks from using
up a host's time. It has two accounts: CPU time, and calls that hold a lock. What is not spent is
saved up for some seconds, so that rare looks do not wait. The cost of a look is not known in
advance: it is paid afterwards, and the next look waits until the debt is paid off.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from untorn.reader.access.pace import SHORTEST_PAUSE_NS

SHARE = 0.25
"""The share of a CPU that all looks together may use."""
HOLDS = 5000.0
"""Calls per second that hold a lock of a process: rather more than one look makes."""
SAVED = 4.0
"""How many seconds of unspent budget are saved up."""


class Spent(NamedTuple):
    """What looks used since the budget was made."""

    looks: int = 0
    seconds: float = 0
    """CPU time."""
    holds: int = 0
    """Calls that held a lock of a process."""
    longest_hold_ns: int = 0
    """CPU time of the longest of them; time spent waiting, for the lock too, does not count."""
    waits: int = 0
    waited: float = 0
    """Seconds that looks waited for the budget."""


class _Thread(threading.local):
    """Up to which of its own CPU time a thread has paid; None while it makes no look."""

    paid_ns: int | None = None


class _Account:
    """What was spent of one kind. The lock of the budget protects all of it."""

    def __init__(self, per_second: float, saved_ns: int, now: int) -> None:
        self._ns_each, self._saved_ns = 1e9 / per_second, saved_ns
        self.due_ns = now - saved_ns  # when the debt is paid off

    def spend(self, amount: float, now: int) -> None:
        self.due_ns = max(self.due_ns, now - self._saved_ns) + int(amount * self._ns_each)


class Budget:
    """What all looks may use together. Any thread may use it.

    The waiting threads all go on when the debt is paid off; what each of them then spends adds to
    the common debt. So in the long run no more is spent than allowed.

    Args:
        share: Share of a CPU's time, above 0.
        holds: Calls per second, above 0.
        saved: Seconds.
        clock: Returns the time in ns.
        cpu_clock: Returns the CPU time that the thread has used, in ns.
        sleep: Sleeps for a number of seconds.

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
            raise ValueError(f"a budget of {share} CPUs and {holds} holds: both must be above 0")
        self._clock, self._cpu_clock, self._sleep = clock, cpu_clock, sleep
        self._thread = _Thread()
        self._lock = threading.Lock()  # no thread blocks or sleeps while it holds it
        now, saved_ns = clock(), int(saved * 1e9)
        self._cpu = _Account(share, saved_ns, now)  # seconds; protected by _lock
        self._held = _Account(holds, saved_ns, now)  # protected by _lock
        self._spent = Spent()  # protected by _lock

    @property
    def spent(self) -> Spent:
        """What looks have used so far."""
        with self._lock:
            return self._spent

    @contextmanager
    def look(self) -> Iterator[None]:
        """Charge the CPU time that the thread uses inside; wait for the budget before that."""
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
        """Charge what the thread has done so far, and wait until the debt is paid off."""
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
        """Charge the thread's CPU time since the last charge; return the debt in ns."""
        used, before = self._cpu_clock(), self._thread.paid_ns
        seconds = 0 if before is None else (used - before) / 1e9
        if before is not None:
            self._thread.paid_ns = used
        with self._lock:
            now = self._clock()
            self._cpu.spend(seconds, now)
            self._spent = self._spent._replace(seconds=self._spent.seconds + seconds)
            return max(self._cpu.due_ns, self._held.due_ns) - now
