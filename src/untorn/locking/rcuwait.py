"""A place where one task at a time sleeps until a condition holds.

No wake-up is lost, because the waiter publishes itself before it tests the condition, and the
waker changes the condition before it looks for a waiter. So at least one of them sees the other.
Compare include/linux/rcuwait.h.
"""

from collections.abc import Callable

from untorn.locking import sync


class RcuWait:
    """The sleeping task, if there is one.

    Only the waiter stores task; wakers load it without a lock. The user makes sure that no second
    task waits at the same time: only the holder of mmap_lock (write) waits for VMA readers.
    """

    __slots__ = ("task",)

    def __init__(self) -> None:
        self.task: sync.Task | None = None

    def wait_event(self, holds: Callable[[], bool], *, killable: bool = False) -> bool:
        """Sleep until holds() is true. Return False if killable and killed before that."""
        # Pairs with the load in wake_up(). wait_until() calls holds() only after this store, and
        # holds() loads an AtomicInt. The mutex of that counter orders the waker's change either
        # before that load, which then sees it, or after it, and then the waker finds this task.
        task = self.task = sync.current()
        try:
            return task.wait_until(holds, killable=killable)
        finally:
            # A waker may have loaded the task before this store and wake it afterwards. Then the
            # task gets a stray wake-up, which every task has to tolerate anyway.
            self.task = None

    def wake_up(self) -> None:
        """Make the waiter, if there is one, test its condition again. Extra calls are harmless."""
        # Load task once: it may become None between the test and the call.
        task = self.task
        if task is not None:
            task.wake_up()
