"""A place where one task at a time sleeps until a condition holds.

Compare include/linux/rcuwait.h: the waiter publishes itself before it looks at the condition, the
waker changes the condition before it looks for a waiter; so one of them sees the other. The order
comes from the mutex of the AtomicInt that the condition reads and the waker changes.
"""

from collections.abc import Callable

from untorn.locking import sync


class RcuWait:
    """The slot. task: written by the waiter alone, loaded by wakers."""

    __slots__ = ("task",)

    def __init__(self) -> None:
        self.task: sync.Task | None = None

    def wait_event(self, holds: Callable[[], bool], *, killable: bool = False) -> bool:
        """Sleep until holds() is true; False if killable and killed before."""
        task = self.task = sync.current()
        try:
            return task.wait_until(holds, killable=killable)
        finally:
            self.task = None

    def wake_up(self) -> None:
        """Make the waiter, if there is one, look again. Needless calls are allowed."""
        task = self.task
        if task is not None:
            task.wake_up()
