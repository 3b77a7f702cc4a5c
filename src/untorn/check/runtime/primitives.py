"""The checker's replacements for the primitives of locking/sync.py.

Each operation is one step, announced before it is made; an operation that must wait is a step that
is not enabled. The rest, above all the loop in Task.wait_until(), is the production code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from untorn.check.runtime import running
from untorn.check.runtime.counter import AtomicInt
from untorn.check.runtime.location import ACQUIRE, TAKE, WRITE
from untorn.locking import lockdep, sync

WAKE_UP = "wake-up of "
"""Prefix of the name of a task's wake-up; the task's name follows."""


class Mutex:
    """Mutual exclusion; only the acquisition is a step.

    Attributes:
        released: Called after each release of any of them; by the ghost history of pages.
    """

    __slots__ = ("location",)
    released: ClassVar[Callable[[], None] | None] = None

    def __init__(self) -> None:
        self.location = running.location("mutex")

    def acquire(self) -> bool:
        """Take it."""
        location = self.location
        running.point(location, ACQUIRE)
        # In a run the point returns only while the mutex is free. blocked is the mutex itself: what
        # makes the next ACQUIRE wait.
        if location.blocked and running.run is None:
            raise RuntimeError(f"{location.name} is held: the set-up would wait for ever")
        location.blocked = True
        return True

    def release(self) -> None:
        """Release the mutex; no task can see that before it takes it."""
        # No point: a task that waits for the mutex notices only when it takes it, which is a step.
        # The clock is kept all the same: it orders accesses to the fields that the mutex protects.
        location = self.location
        location.blocked = False
        run = running.run
        if run is not None and run.tracks:
            run.trace.release(run.current, location)
        if Mutex.released is not None:
            Mutex.released()

    def locked(self) -> bool:
        """Return whether it is held."""
        return self.location.blocked

    __enter__ = acquire

    def __exit__(self, *exc: object) -> None:
        self.release()


class Permit:
    """The binary semaphore of a task: a wake-up that was not taken yet."""

    __slots__ = ("_task", "location")

    def __init__(self, task: Task) -> None:
        self._task = task
        self.location = running.location(WAKE_UP + task.name, idle=True)

    def acquire(self) -> None:
        """Wait for a wake-up and take it."""
        # Called before the step is announced, because a task that must wait does not get past the
        # point.
        task = self._task
        if self.location.blocked and task.sleeps is not None and running.run is not None:
            task.sleeps(task)
        running.point(self.location, TAKE)
        if self.location.blocked and running.run is None:
            raise RuntimeError(f"{task.name} waits: the set-up would wait for ever")
        self.location.blocked = True

    def grant(self) -> None:
        """Wake the task, or leave the wake-up for when it is about to sleep."""
        # This is a step, because it can come before or after the sleeper has checked its condition.
        # The wake-up stays until it is taken, so none is lost between the check and the sleep.
        running.point(self.location, WRITE)
        self.location.blocked = False


class Task(sync.Task):
    """A task of a run: sync's, asleep on a wake-up that is a step.

    Attributes:
        held: The locks it holds, or waits for, in order, with their classes.
        mmap_locks: How many times it asked for an mmap_lock in this run.
        waits_for: Its condition if it sleeps.
        sleeps: Called before it does.
    """

    __slots__ = ("held", "mmap_locks", "sleeps", "waits_for")

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._permit: Any = Permit(self)  # sync's loop asks no more of it than acquire()
        self.held: list[tuple[lockdep.LockClass, object]] = []
        self.mmap_locks = 0
        self.waits_for: Callable[[], bool] = bool
        self.sleeps: Callable[[Task], None] | None = None

    def wait_until(self, holds: Callable[[], bool], *, killable: bool = False) -> bool:
        """Sleep until holds() is true, as sync's does."""
        self.waits_for = holds  # evaluated again, unseen, if no task can continue: a lost wake-up?
        return super().wait_until(holds, killable=killable)

    def holds(self) -> str:
        """Name the locks it holds or waits for."""
        return ", ".join(lock_class.name for lock_class, _ in self.held) or "nothing"

    @property
    def permit(self) -> Permit:
        """What it sleeps on."""
        permit: Permit = self._permit
        return permit

    def wake_up(self) -> None:
        """Make the task check its condition."""
        # sync's guard keeps two wakers apart; here granting is one step as it is.
        self.permit.grant()


_outside = Task("set-up")


def current() -> Task:
    """Return the task that is running."""
    # Tasks are greenlets of one thread, so what a thread knows of itself does not tell them apart.
    run = running.run
    if run is None:
        return _outside
    task: Task = run.tasks[run.current]
    return task


def monotonic_ns() -> int:
    """Return a time; it stands still."""
    # A running clock would make equal schedules differ.
    return 0


OURS: dict[str, object] = {
    "Mutex": Mutex,
    "AtomicInt": AtomicInt,
    "Task": Task,
    "current": current,
    "monotonic_ns": monotonic_ns,
}
"""By the name that sync knows each under."""
