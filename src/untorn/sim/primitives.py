"""The simulation's replacements for the primitives of locking/sync.py.

Jobs share one real thread, which switches between them only when virtual time passes. So a counter
needs no lock, and a lock is contended only if time passes while it is held. No time passes under
the kernel's spinlocks, so none of them spins here; the mutexes that may be held for some time are
those that sleep in the kernel, too.
"""

from collections.abc import Callable
from typing import Protocol

from untorn.locking import sync
from untorn.sim.machine import Thread


class Clockwork(Protocol):
    """What the primitives need from the running simulation."""

    @property
    def now(self) -> int:
        """The time, in ns."""

    @property
    def current(self) -> "Task | None":
        """The running task; None during set-up."""

    def sleep(self) -> None:
        """Let the running task sleep until it is woken."""

    def wake(self, task: "Task") -> None:
        """Wake a waiting task; the running one pays for it."""


class Task(sync.Task):
    """A task of a simulation.

    Attributes:
        thread: Its thread on the machine.
        waits: Whether it sleeps until a predicate holds.
    """

    __slots__ = ("_clockwork", "thread", "waits")

    def __init__(self, clockwork: Clockwork, thread: Thread) -> None:
        super().__init__(thread.name)
        self.thread = thread
        self.waits = False
        self._clockwork = clockwork

    def wait_until(self, holds: Callable[[], bool], *, killable: bool = False) -> bool:
        """Sleep until holds() is true, like sync's."""
        # No time passes between the check and the sleep, so no wake-up can come in between.
        while not holds():
            if killable and self.killed:
                return False
            self.waits = True
            self._clockwork.sleep()
            self.waits = False
        return True

    def wake_up(self) -> None:
        """Make the task check its predicate."""
        if self.waits:
            self._clockwork.wake(self)


class AtomicInt:
    """sync's counter; nothing can interrupt its methods."""

    __slots__ = ("_value",)

    def __init__(self, value: int = 0) -> None:
        self._value = value

    def load(self) -> int:
        """Return the value."""
        return self._value

    def store(self, value: int) -> None:
        """Set the value."""
        self._value = value

    def add(self, delta: int) -> int:
        """Add delta; return the new value."""
        self._value += delta
        return self._value

    def add_not_zero(self, delta: int) -> bool:
        """Add delta unless the value is 0; return whether it was added."""
        if self._value == 0:
            return False
        self._value += delta
        return True

    def inc_not_zero_limited(self, limit: int) -> int:
        """Add 1 unless the value is 0 or at least limit; return the value found."""
        found = self._value
        if 0 < found < limit:
            self._value = found + 1
        return found


class Mutex:
    """Mutual exclusion, first come, first served; waiting tasks sleep."""

    __slots__ = ("_held", "_queue")

    def __init__(self) -> None:
        self._held = False
        self._queue: list[sync.Task] = []

    def acquire(self) -> bool:
        """Take it."""
        if self._held:
            task = sync.current()
            self._queue.append(task)
            task.wait_until(lambda: task not in self._queue)  # handed over, still held
        self._held = True
        return True

    def release(self) -> None:
        """Release it, or hand it over to the task that has waited longest."""
        if self._queue:
            self._queue.pop(0).wake_up()
        else:
            self._held = False

    def locked(self) -> bool:
        """Return whether it is held."""
        return self._held

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exc: object) -> None:
        self.release()


def stand_ins(clockwork: Clockwork) -> dict[str, object]:
    """Return the replacements for sync's primitives, by their names there."""
    outside = sync.Task("set-up")
    return {
        "Mutex": Mutex,
        "AtomicInt": AtomicInt,
        "current": lambda: clockwork.current or outside,
        "monotonic_ns": lambda: clockwork.now,
    }
