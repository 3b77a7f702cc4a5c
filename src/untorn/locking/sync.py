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
    """An integer whose changes are atomic and ordered, as refcount_t and atomic_t are."""

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
            if self._value == 0:
                return False
            self._value += delta
            return True

    def inc_not_zero_limited(self, limit: int) -> int:
        """Add 1 unless the value is 0 or at least limit; return the value found.

        Compare include/linux/refcount.h:__refcount_inc_not_zero_limited_acquire().
        """
        with self._mutex:
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
        self._guard = Mutex()
        self._permit = Mutex()  # a binary semaphore: free when a wake-up has not been taken yet
        self._permit.acquire()

    def wait_until(self, holds: Callable[[], bool], *, killable: bool = False) -> bool:
        """Sleep until holds() is true; False if killable and killed before that.

        Only the task itself may call it. Whoever makes holds() true calls wake_up() afterwards.
        """
        while not holds():
            if killable and self.killed:
                return False
            self._permit.acquire()
        return True

    def wake_up(self) -> None:
        """Make the task look at what it waits for; needless wake-ups are harmless."""
        with self._guard:
            if self._permit.locked():  # only this section, one at a time, ever frees it
                self._permit.release()

    def kill(self) -> None:
        """Send a fatal signal: killable waits, present and to come, fail with EINTR."""
        self.killed = True
        self.wake_up()

    def __repr__(self) -> str:
        return f"<Task {self.name}>"


_local = threading.local()


def current() -> Task:
    """Return the task that is running."""
    try:
        task: Task = _local.task
    except AttributeError:
        task = _local.task = Task(threading.current_thread().name)
    return task
