"""What the checker puts in the place of locking/sync.py's primitives.

Each operation is one step, reported before it is made; what has to wait is a step that is not
enabled. The rest, above all the loop in Task.wait_until(), is the production code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from untorn.check import lock_order, runtime
from untorn.check.location import (
    ACQUIRE,
    COUNT,
    COUNT_IN,
    COUNT_OUT,
    READ,
    TAKE,
    WRITE,
)
from untorn.locking import lockdep, sync

NO_LIMIT = 1 << 62
MARGIN = 64
"""More than the steps of one counter that can be pending at once."""


class Mutex:
    """Mutual exclusion; only the acquisition is a step."""

    __slots__ = ("location",)

    def __init__(self) -> None:
        self.location = runtime.location("mutex")

    def acquire(self) -> bool:
        """Take it."""
        location = self.location
        runtime.point(location, ACQUIRE)
        if location.blocked and runtime.run is None:
            raise RuntimeError(f"{location.name} is held: the set-up would wait for ever")
        location.blocked = True
        return True

    def release(self) -> None:
        """Let go; nobody can see that before they take it."""
        location = self.location
        location.blocked = False
        run = runtime.run
        if run is not None and run.tracks:
            run.trace.release(run.current, location)

    def locked(self) -> bool:
        """Say whether it is held."""
        return self.location.blocked

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exc: object) -> None:
        self.release()


class Permit:
    """The binary semaphore of a task: a wake-up that was not taken yet."""

    __slots__ = ("_task", "location")

    def __init__(self, task: Task) -> None:
        self._task = task
        self.location = runtime.location(f"wake-up of {task.name}", idle=True)

    def acquire(self) -> None:
        """Wait for a wake-up and take it."""
        task = self._task
        if self.location.blocked and task.sleeps is not None and runtime.run is not None:
            task.sleeps(task)
        runtime.point(self.location, TAKE)
        if self.location.blocked and runtime.run is None:
            raise RuntimeError(f"{task.name} waits: the set-up would wait for ever")
        self.location.blocked = True

    def grant(self) -> None:
        """Wake the task, or leave the wake-up for when it is about to sleep."""
        runtime.point(self.location, WRITE)
        self.location.blocked = False


class AtomicInt:
    """An integer; every operation is one step.

    Readers that count themselves in and out commute, as long as the count keeps clear of 0, of
    the limit and of the writer's flag: nobody looks at more of a result than which of these it
    met. So the count must rest on something else than readers (one count more than theirs), and
    be far below the limit.

    Attributes:
        value: The integer.
        counted: How often each task is counted in, as far as it told by add_not_zero(1) or
            inc_not_zero_limited().
        emptied: Called when the last count of a reader or user goes.
    """

    __slots__ = ("_limit", "counted", "emptied", "location", "value")

    def __init__(self, value: int = 0) -> None:
        self.value = value
        self.counted: dict[int, int] = {}
        self.emptied: Callable[[], None] | None = None
        self._limit = NO_LIMIT
        self.location = runtime.location("counter", counter=self)

    def load(self) -> int:
        """Return the value."""
        runtime.point(self.location, READ)
        return self.value

    def store(self, value: int) -> None:
        """Set the value."""
        runtime.point(self.location, WRITE)
        self.value = value

    def add(self, delta: int) -> int:
        """Add delta; return the new value."""
        run = runtime.run
        mine = delta == -1 and run is not None and self.counted.get(run.current, 0) > 0
        runtime.point(self.location, COUNT_OUT if mine else WRITE)
        if mine:
            self._count(-1)
        self.value += delta
        if self.value == 0 and self.emptied is not None:
            self.emptied()
        return self.value

    def add_not_zero(self, delta: int) -> bool:
        """Add delta unless the value is 0."""
        runtime.point(self.location, COUNT_IN if delta == 1 else WRITE)
        if self.value == 0:
            return False
        if delta == 1:
            self._count(1)
        self.value += delta
        return True

    def inc_not_zero_limited(self, limit: int) -> int:
        """Add 1 unless the value is 0 or at least limit; return the value found."""
        self._limit = limit
        runtime.point(self.location, COUNT_IN)
        found = self.value
        if 0 < found < limit:
            self._count(1)
            self.value = found + 1
        return found

    def kind_of(self, kind: int) -> int:
        """Return what COUNT_IN or COUNT_OUT is at this moment.

        COUNT only if no other order of COUNTs could bring the count to where order matters: what
        is not readers' stays at least 1, and the limit (or a writer's flag, above it) is far.
        """
        value = self.value
        if kind == COUNT_IN and not 0 < value < self._limit:
            return READ
        plain = value > sum(self.counted.values()) and value + MARGIN < self._limit
        return COUNT if plain else WRITE

    def _count(self, delta: int) -> None:
        run = runtime.run
        if run is not None:
            self.counted[run.current] = self.counted.get(run.current, 0) + delta


class Task(sync.Task):
    """A task of a run: sync's, asleep on a wake-up that is a step.

    Attributes:
        held: The locks it holds, or waits for, in order, with their classes.
        waits_for: What it waits for if it sleeps.
        sleeps: Called before it does.
    """

    __slots__ = ("held", "sleeps", "waits_for")

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._permit: Any = Permit(self)
        self.held: list[tuple[lockdep.LockClass, object]] = []
        self.waits_for: Callable[[], bool] = bool
        self.sleeps: Callable[[Task], None] | None = None

    def wait_until(self, holds: Callable[[], bool], *, killable: bool = False) -> bool:
        """Sleep until holds() is true, as sync's does."""
        self.waits_for = holds
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
        """Make the task look at what it waits for."""
        self.permit.grant()


_outside = Task("set-up")


def current() -> sync.Task:
    """Return the task that is running."""
    run = runtime.run
    return _outside if run is None else run.tasks[run.current]


def monotonic_ns() -> int:
    """Return a time; it stands still."""
    return 0


@contextmanager
def installed() -> Iterator[None]:
    """Let locking/, mm/ and fs/ use these primitives, and have their lock order watched."""
    theirs = {
        sync: {
            "Mutex": Mutex,
            "AtomicInt": AtomicInt,
            "Task": Task,
            "current": current,
            "monotonic_ns": monotonic_ns,
        },
        lockdep: lock_order.REPLACEMENTS,
    }
    before = {
        module: {name: getattr(module, name) for name in ours} for module, ours in theirs.items()
    }
    try:
        for module, ours in theirs.items():
            vars(module).update(ours)
        yield
    finally:
        for module, names in before.items():
            vars(module).update(names)
