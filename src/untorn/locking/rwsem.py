"""A fair reader-writer semaphore: first come, first served.

A waiting writer stops every reader that comes after it: otherwise two readers whose holds overlap
could starve the writer for ever. A task that releases the lock hands it over: it makes the next
waiters owners before it wakes them, so no newcomer can slip in between.

Linux is less strict: a newcomer may take a free lock before a waiting writer, until that writer has
waited for 4 ms. Compare kernel/locking/rwsem.c.
"""

import errno
from dataclasses import dataclass, replace

from untorn.errors import os_error
from untorn.locking import lockdep, sync


class Waiter:
    """A task in the queue."""

    __slots__ = ("granted", "is_writer", "task")

    def __init__(self, task: sync.Task, is_writer: bool) -> None:
        self.task = task
        self.is_writer = is_writer
        # Stored once, under the semaphore's _mutex, by the task that hands the lock over. The
        # waiter loads it without the mutex. A waiter that sees True already owns the lock.
        self.granted = False


@dataclass(frozen=True, slots=True)
class RwSemStatistics:
    """Counts since creation; times in ns."""

    reads: int = 0
    writes: int = 0
    reads_waited: int = 0
    writes_waited: int = 0
    read_wait_ns: int = 0
    write_wait_ns: int = 0
    write_wait_max_ns: int = 0


class RwSemaphore:
    """Many readers or one writer.

    Context: every down_ method may sleep; the killable ones raise EINTR once the task is killed.
    """

    __slots__ = (
        "_count",
        "_mutex",
        "_queue",
        "_reads",
        "_waited",
        "_writes",
        "lock_class",
        "owner",
    )

    def __init__(self, lock_class: lockdep.LockClass) -> None:
        self.lock_class = lock_class
        # Protects every attribute from here down to _waited. Held for a few lines only, and never
        # by a task that sleeps.
        self._mutex = sync.Mutex()
        self._count = 0  # -1 a writer; 0 free; n readers
        # The waiting tasks, oldest first. While there are any, only _hand_over() grants the lock,
        # which keeps the order fair.
        self._queue: tuple[Waiter, ...] = ()
        self._reads = 0
        self._writes = 0
        self._waited = RwSemStatistics()
        # The writer. Stored under _mutex and loaded without it: by the owner to check that it holds
        # the lock, and by others for reports, which may be stale.
        self.owner: sync.Task | None = None

    def down_read(self, *, killable: bool = False) -> None:
        """Take the lock for reading.

        Raises:
            OSError: EINTR if killable and the task was killed first.
        """
        if lockdep.on:
            # Called before the wait, so an order that could deadlock is reported and does not hang.
            lockdep.acquire(self.lock_class, self)
        with self._mutex:
            self._reads += 1
            if self._may_read():
                self._count += 1
                return
            waiter = self._enqueue(is_writer=False)
        self._wait(waiter, killable)

    def down_read_trylock(self) -> bool:
        """Take the lock for reading if that needs no wait. Return whether it was taken."""
        with self._mutex:
            # May refuse even though the writer only waits and does not hold the lock.
            if self._count < 0 or self._queue:
                return False
            self._count += 1
            self._reads += 1
        if lockdep.on:
            lockdep.acquire(self.lock_class, self, trylock=True)
        return True

    def up_read(self) -> None:
        """Release a read lock."""
        if lockdep.on:
            lockdep.release(self.lock_class, self)
        with self._mutex:
            # While other readers are left, a writer at the head of the queue keeps waiting. Only a
            # writer can be at the head now: a reader there would have been let in.
            self._count -= 1
            woken = self._hand_over() if self._queue else ()
        # Wake them outside the mutex, which they need next. They have owned the lock since the
        # hand-over, so it does not matter how late the wake-up comes.
        for waiter in woken:
            waiter.task.wake_up()

    def down_write(self, *, killable: bool = False, nested: bool = False) -> None:
        """Take the lock for writing. Set nested if the task holds another lock of its class.

        Raises:
            OSError: EINTR if killable and the task was killed first.
        """
        if lockdep.on:
            lockdep.acquire(self.lock_class, self, nested=nested)
        with self._mutex:
            self._writes += 1
            # The lock is free and no task waits, so it can be taken without a hand-over.
            if self._count == 0 and not self._queue:
                self._count = -1
                self.owner = sync.current()
                return
            waiter = self._enqueue(is_writer=True)
        self._wait(waiter, killable)

    def up_write(self) -> None:
        """Release the write lock."""
        if lockdep.on:
            lockdep.release(self.lock_class, self)
        self._leave_write(readers=0)

    def downgrade_write(self) -> None:
        """Turn the write lock into a read lock and let in the readers at the head of the queue."""
        # lockdep need not know: the lock is still held, and its order is the same in both modes.
        self._leave_write(readers=1)

    def is_write_locked(self) -> bool:
        """Return whether a task holds the lock for writing; with lockdep on, the current task."""
        # The owner is loaded without _mutex. If it is this task, it cannot change meanwhile; if it
        # is another, it cannot become this one.
        if lockdep.on:
            return self.owner is sync.current()
        return self.owner is not None

    def is_locked(self) -> bool:
        """Return whether a task holds the lock; with lockdep on, the current task."""
        if lockdep.on:
            return lockdep.is_held(self.lock_class, self)
        with self._mutex:
            return self._count != 0

    def is_contended(self) -> bool:
        """Return whether a task waits for the lock."""
        # The answer may be stale as soon as it is returned: it hints that a holder could pause.
        with self._mutex:
            return bool(self._queue)

    def statistics(self) -> RwSemStatistics:
        """Return the counts so far."""
        with self._mutex:
            return replace(self._waited, reads=self._reads, writes=self._writes)

    def _leave_write(self, readers: int) -> None:
        # A downgrade gives up the write lock and takes the read lock under one hold of the mutex:
        # with readers=1 the lock is never free in between, so no other writer can change what the
        # downgrader has just written.
        with self._mutex:
            self.owner = None
            self._count = readers
            woken = self._hand_over() if self._queue else ()
        for waiter in woken:
            waiter.task.wake_up()

    def _may_read(self) -> bool:
        """Return whether a new reader may take the lock now. Preconditions: _mutex held."""
        # A reader could share the lock with other readers while a writer waits. It must not: a
        # steady stream of readers would starve that writer.
        return self._count >= 0 and not self._queue

    def _is_in(self, waiter: Waiter) -> bool:
        """Return whether a waiter has the lock."""
        # Pairs with the store of granted in _hand_over(), which comes before the wake-up.
        return waiter.granted

    def _enqueue(self, is_writer: bool) -> Waiter:
        """Add the current task to the queue. Preconditions: _mutex held."""
        waiter = Waiter(sync.current(), is_writer)
        self._queue = (*self._queue, waiter)
        return waiter

    def _hand_over(self) -> tuple[Waiter, ...]:
        """Let in the writer or all readers at the head of the queue. Return the waiters to wake.

        Preconditions: _mutex held.
        """
        woken: list[Waiter] = []
        for waiter in self._queue:
            # Stop at the first waiter that cannot come in, even if a later one could: a reader must
            # not overtake a writer in the queue.
            if self._count < 0 or (waiter.is_writer and self._count > 0):
                break
            self._count += -1 if waiter.is_writer else 1
            if waiter.is_writer:
                self.owner = waiter.task
            # This store is the last one: the waiter may see it at once, without the mutex.
            waiter.granted = True
            woken.append(waiter)
        self._queue = self._queue[len(woken) :]
        return tuple(woken)

    def _wait(self, waiter: Waiter, killable: bool) -> None:
        try:
            start = sync.monotonic_ns()
            if not waiter.task.wait_until(lambda: self._is_in(waiter), killable=killable):
                raise os_error(errno.EINTR)
            self._count_wait(waiter, sync.monotonic_ns() - start)
        # EINTR, or an exception from a signal handler. The latter may come between any two
        # bytecodes, so also after the lock was handed over and before this task knows about it.
        except BaseException:
            self._give_up(waiter)
            raise

    def _give_up(self, waiter: Waiter) -> None:
        """Leave the queue, or the lock if it was handed over in the meantime."""
        with self._mutex:
            # Only the mutex makes it certain which of the two is right: the lock may have been
            # handed over after the wait had already ended with an exception.
            self._queue = tuple(w for w in self._queue if w is not waiter)
            if waiter.granted:
                self._count -= -1 if waiter.is_writer else 1
                self.owner = None
            # Hand over even if the lock was not granted: a writer that leaves the head of the queue
            # may have been the only thing that kept the readers after it out.
            woken = self._hand_over()
        if lockdep.on:
            lockdep.release(self.lock_class, self)
        for other in woken:
            other.task.wake_up()

    def _count_wait(self, waiter: Waiter, ns: int) -> None:
        with self._mutex:
            was = self._waited
            if waiter.is_writer:
                self._waited = replace(
                    was,
                    writes_waited=was.writes_waited + 1,
                    write_wait_ns=was.write_wait_ns + ns,
                    write_wait_max_ns=max(was.write_wait_max_ns, ns),
                )
            else:
                self._waited = replace(
                    was, reads_waited=was.reads_waited + 1, read_wait_ns=was.read_wait_ns + ns
                )

    def __repr__(self) -> str:
        with self._mutex:
            holders = {-1: f"write-held by {self.owner}", 0: "free"}
            state = holders.get(self._count, f"{self._count} readers")
            return f"<RwSemaphore {self.lock_class.name} {state}, {len(self._queue)} waiting>"
