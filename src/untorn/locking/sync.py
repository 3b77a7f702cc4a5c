"""The only source of mutexes, atomic counters, tasks and clocks for locking/, mm/ and fs/.

Callers write `sync.Mutex()`, never `from ... import Mutex`: a run that needs other primitives
(the interleaving checker) puts its own into this module for as long as it lasts.

What the engine relies on, with the GIL or without: loading or storing one attribute gives the
old or the new object, a store is seen after the stores before it (release) and a load before the
loads after it (acquire), and a mutex orders all that its sections do. Nothing wider than one
attribute is ever assumed to be atomic.
"""

import threading
import time
from collections.abc import Callable

Mutex = threading.Lock
"""Mutual exclusion, not recursive; a context manager."""

monotonic_ns = time.monotonic_ns


class AtomicInt:
    """An integer whose changes are atomic and ordered, as refcount_t and atomic_t are.

    Every operation takes the mutex, load() too: so two tasks that use the counter agree on
    which came first, and the second one sees what the first one stored before. The VMA lock and
    rcuwait stand on that.
    """

    __slots__ = ("_mutex", "_value")

    def __init__(self, value: int = 0) -> None:
        self._mutex = Mutex()
        self._value = value  # protected by _mutex

    def load(self) -> int:
        """Return the value; ordered against every other operation on this counter."""
        with self._mutex:
            return self._value

    def store(self, value: int) -> None:
        """Set the value."""
        with self._mutex:
            self._value = value

    def add(self, delta: int) -> int:
        """Add delta; return the new value."""
        with self._mutex:
            self._value = value = self._value + delta
            return value

    def add_not_zero(self, delta: int) -> bool:
        """Add delta unless the value is 0; say whether it was added."""
        with self._mutex:
            # Look and add are one step: a count that fell to 0 never rises again this way.
            if self._value == 0:
                return False
            self._value += delta
            return True

    def inc_not_zero_limited(self, limit: int) -> int:
        """Add 1 unless the value is 0 or at least limit; return the value found.

        Compare include/linux/refcount.h:__refcount_inc_not_zero_limited_acquire().
        """
        with self._mutex:
            # The value found tells the caller why nothing was added: 0 for an object on its way
            # out, limit or more for one that takes no more in now.
            found = self._value
            if 0 < found < limit:
                self._value = found + 1
            return found


class Task:
    """One thread of execution, as the code that sleeps and wakes sees it.

    Attributes:
        name: For reports.
        killed: A fatal signal is pending; killable waits end.
        held_locks: What this task holds, kept by lockdep; touched by this task alone.
    """

    __slots__ = ("_guard", "_permit", "held_locks", "killed", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.killed = False
        self.held_locks: tuple[object, ...] = ()
        self._guard = Mutex()  # serialises wakers
        # A binary semaphore: free while there is a wake-up that the task has not taken. It may be
        # taken here and freed by another task, as a threading.Lock has no owner.
        self._permit = Mutex()
        self._permit.acquire()

    def wait_until(self, holds: Callable[[], bool], *, killable: bool = False) -> bool:
        """Sleep until holds() is true; False if killable and killed before that.

        Only the task itself may call it. A task that makes holds() true calls wake_up() after that.
        """
        # A wake-up that comes between the look and the sleep is not lost: it leaves the permit
        # free, and the sleep ends at once. Wake-ups do not add up and may be stale, left over from
        # an earlier wait; hence the loop, which looks again after each.
        while not holds():
            # Pairs with kill(), which stores killed before it wakes us.
            if killable and self.killed:
                return False
            self._permit.acquire()
        return True

    def wake_up(self) -> None:
        """Make the task look at what it waits for; needless wake-ups are harmless."""
        with self._guard:
            # Test and release are not one step. That is safe: only this section frees the permit,
            # so it stays locked until the release. If it is free, the task takes it later, and
            # looks after that.
            if self._permit.locked():
                self._permit.release()

    def kill(self) -> None:
        """Send a fatal signal: killable waits, present and to come, fail with EINTR."""
        # In this order: the task that wakes up for the kill must find it.
        self.killed = True
        self.wake_up()

    def __repr__(self) -> str:
        return f"<Task {self.name}>"


_local = threading.local()


def current() -> Task:
    """Return the task that is running."""
    try:
        task: Task = _local.task
    except AttributeError:  # the first call in this thread
        task = _local.task = Task(threading.current_thread().name)
    return task
