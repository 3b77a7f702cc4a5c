"""mmap_lock as Linux has it: a lock that can be stolen, where the engine's is fair.

The engine hands its lock over to the task that has waited longest. Linux wakes a writer, which must
then find the lock free; a reader that comes first takes it. So a scanner goes from one read() to
the next while a writer is woken again and again. Once the writer has waited for a tick or two (of
4 ms), nothing overtakes it any more. This determines how long a writer waits, and how many readers
overtake it.

Not modelled: a writer spins for about 15 us before it sleeps. Compare
kernel/locking/rwsem.c:rwsem_down_read_slowpath(), rwsem_try_write_lock(), rwsem_mark_wake().
"""

from untorn.locking import sync
from untorn.locking.rwsem import RwSemaphore, Waiter
from untorn.sim.fair import TICK_NS


class _Waiter(Waiter):
    """A task in the queue, the tick when it came, and whether it may no longer be overtaken."""

    __slots__ = ("handoff", "since")

    def __init__(self, task: sync.Task, is_writer: bool) -> None:
        super().__init__(task, is_writer)
        self.since = sync.monotonic_ns() // TICK_NS
        self.handoff = False


class StolenRwSemaphore(RwSemaphore):
    """The semaphore. Time passes in its methods only in waits, so each is atomic between these."""

    __slots__ = ()

    def _may_read(self) -> bool:
        return super()._may_read() or (self._count == 0 and not self._first.handoff)

    def _is_in(self, waiter: Waiter) -> bool:
        """Let a writer take the lock, which is free for it."""
        if waiter.is_writer and waiter is self._first and not waiter.granted:
            if self._count == 0:
                self._queue = self._queue[1:]
                self._count, self.owner = -1, waiter.task
                waiter.granted = True
            elif sync.monotonic_ns() // TICK_NS > self._first.since + 1:
                self._first.handoff = True
        return waiter.granted

    def _enqueue(self, is_writer: bool) -> Waiter:
        waiter = _Waiter(sync.current(), is_writer)
        self._queue = (*self._queue, waiter)
        return waiter

    def _hand_over(self) -> tuple[Waiter, ...]:
        """Let in all readers if the first waiter is one; return the tasks to wake."""
        if not self._queue:  # the waiting task has given up
            return ()
        if self._first.is_writer:
            return (self._first,) if self._count == 0 else ()
        if self._count < 0:
            return ()
        readers = tuple(each for each in self._queue if not each.is_writer)
        self._queue = tuple(each for each in self._queue if each.is_writer)
        self._count += len(readers)
        for each in readers:
            each.granted = True
        return readers

    @property
    def _first(self) -> _Waiter:
        first = self._queue[0]
        assert isinstance(first, _Waiter)
        return first
