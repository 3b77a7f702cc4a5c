"""A place for one task at a time to sleep until a condition holds.

Why no wake-up is lost: the waiter publishes itself before it looks at the condition, and the waker
changes the condition before it looks for a waiter. So at least one of them sees the other.
Compare include/linux/rcuwait.h.
"""

from collections.abc import Callable

from untorn.locking import sync


class RcuWait:
    """Who sleeps, if anyone.

    task is stored by the waiter alone; wakers load it without a lock. That no second task waits
    meanwhile is up to the user: only the holder of mmap_lock (write) waits for VMA readers.
    """

    __slots__ = ("task",)

    def __init__(self) -> None:
        self.task: sync.Task | None = None

    def wait_event(self, holds: Callable[[], bool], *, killable: bool = False) -> bool:
        """Sleep until holds() is true; False if killable and killed before."""
        # Pairs with the load in wake_up(). wait_until() calls holds() only after this store, and
        # holds() loads an AtomicInt. The mutex of that counter puts the waker's change either
        # before that load, which then sees it, or after it, and then the waker finds us here.
        task = self.task = sync.current()
        try:
            return task.wait_until(holds, killable=killable)
        finally:
            # A waker may have loaded the task before this store and wake it after it. That wakes a
            # task that waits for something else or for nothing, which it has to bear anyway.
            self.task = None

    def wake_up(self) -> None:
        """Make the waiter, if there is one, look again. Needless calls are allowed."""
        # Load once: it may become None between the test and the call.
        task = self.task
        if task is not None:
            task.wake_up()
