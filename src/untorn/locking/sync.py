"""The only source of mutexes, atomic counters, tasks and clocks for locking/, mm/ and fs/.

Callers write `sync.Mutex()`, never `from ... import Mutex`: a run that needs other primitives
(the interleaving checker) puts its own into this module while it lasts.

The engine relies on these rules, with the GIL or without. Loading one attribute gives the old or
the new object. A store becomes visible after all stores before it (release), and a load happens
before all loads after it (acquire). A mutex orders all accesses of its critical sections. The
engine assumes that nothing wider than one attribute is atomic.
"""

import threading
import time
from collections.abc import Callable

Mutex = threading.Lock
"""Mutual exclusion, not recursive; a context manager."""

monotonic_ns = time.monotonic_ns


class AtomicInt:
    """An integer whose changes are atomic and ordered, as refcount_t and atomic_t are.

    Every operation takes the mutex, including load(). So two tasks that use the counter agree on
    which of them came first, and the second one sees all that the first one stored before. The VMA
    lock and rcuwait rely on that.
    """

    __slots__ = ("_mutex", "_value")

    def __init__(self, value: int = 0) -> None:
        self._mutex = Mutex()
        self._value = value  # protected by _mutex

    def load(self) -> int:
        """Return the value. The load is ordered against every other operation on this counter."""
        with self._mutex:
            return self._value

    def store(self, value: int) -> None:
        """Set the value."""
        with self._mutex:
            self._value = value

    def add(self, delta: int) -> int:
        """Add delta and return the new value."""
        with self._mutex:
            self._value = value = self._value + delta
            return value

    def add_not_zero(self, delta: int) -> bool:
        """Add delta unless the value is 0. Return whether it was added."""
        with self._mutex:
            # The test and the addition are atomic, so a count that fell to 0 never rises again.
            if self._value == 0:
                return False
            self._value += delta
            return True

    def inc_not_zero_limited(self, limit: int) -> int:
        """Add 1 unless the value is 0 or at least limit. Return the value found.

        Compare include/linux/refcount.h:__refcount_inc_not_zero_limited_acquire().
        """
        with self._mutex:
            # The value found tells the caller why nothing was added: 0 means that the object is
            # being released, limit or more that it takes no further users now.
            found = self._value
            if 0 < found < limit:
                self._value = found + 1
            return found


class Task:
    """One thread of execution, with what it needs to sleep and to be woken.

    Attributes:
        name: The name that reports show.
        killed: A fatal signal is pending, so killable waits end.
        held_locks: The locks that this task holds. Only lockdep, running in this task, uses it.
    """

    __slots__ = ("_guard", "_permit", "held_locks", "killed", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.killed = False
        self.held_locks: tuple[object, ...] = ()
        self._guard = Mutex()  # serialises wakers
        # A binary semaphore: free while there is a wake-up that the task has not consumed. This
        # task takes it and another one releases it, which is fine: a threading.Lock has no owner.
        self._permit = Mutex()
        self._permit.acquire()

    def wait_until(self, holds: Callable[[], bool], *, killable: bool = False) -> bool:
        """Sleep until holds() is true. Return False if killable and killed before that.

        Only the task itself may call this. A task that makes holds() true then calls wake_up().
        """
        # A wake-up that comes between the test and the sleep is not lost: it leaves the permit
        # free, and the sleep ends at once. Wake-ups do not add up, and one may be left over from an
        # earlier wait, so the loop tests holds() again after each of them.
        while not holds():
            # Pairs with kill(), which stores killed before it wakes this task.
            if killable and self.killed:
                return False
            self._permit.acquire()
        return True

    def wake_up(self) -> None:
        """Make the task test its condition again. Needless wake-ups are harmless."""
        with self._guard:
            # The test and the release are not atomic. That is safe: only this code, under _guard,
            # frees the permit, so a locked permit stays locked until the release. If it is free,
            # the task will take it later and test its condition after that.
            if self._permit.locked():
                self._permit.release()

    def kill(self) -> None:
        """Send a fatal signal: all killable waits, now and later, fail with EINTR."""
        # The order matters: the task that this wakes must find killed set.
        self.killed = True
        self.wake_up()

    def __repr__(self) -> str:
        return f"<Task {self.name}>"


_local = threading.local()


def current() -> Task:
    """Return the running task."""
    try:
        task: Task = _local.task
    except AttributeError:  # the first call in this thread
        task = _local.task = Task(threading.current_thread().name)
    return task
