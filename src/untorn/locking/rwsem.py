"""A fair reader-writer semaphore: first come, first served.

A writer that waits stops every reader that comes after it, as Linux's does: without that, two
readers whose sections overlap starve a writer for ever. Compare kernel/locking/rwsem.c.

A task that lets go hands the lock over: it counts the next waiters in as owners before it wakes
them, so no newcomer can slip in between.
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
        # Stored once, under the semaphore's _mutex, by the task that hands over; loaded by the
        # waiter without it. A waiter that sees True owns the lock already.
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

    Context: every down_ may sleep; the killable ones raise EINTR once the task is killed.
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
        # Held for a few lines and never while anyone sleeps. Everything down to _waited is
        # protected by it.
        self._mutex = sync.Mutex()
        self._count = 0  # -1 a writer; 0 free; n readers
        # The waiting tasks, oldest first. While there are any, only _hand_over() grants the lock:
        # that is what keeps the order.
        self._queue: tuple[Waiter, ...] = ()
        self._reads = 0
        self._writes = 0
        self._waited = RwSemStatistics()
        # The writer. Stored under _mutex, loaded by anyone: by the owner to check that it holds the
        # lock, by others for reports, which may be stale.
        self.owner: sync.Task | None = None

    def down_read(self, *, killable: bool = False) -> None:
        """Take the lock for reading.

        Raises:
            OSError: EINTR if killable and the task was killed first.
        """
        if lockdep.on:
            # Before the wait: an order that could deadlock is reported, not waited out.
            lockdep.acquire(self.lock_class, self)
        with self._mutex:
            self._reads += 1
            if self._may_read():
                self._count += 1
                return
            waiter = self._enqueue(is_writer=False)
        self._wait(waiter, killable)

    def down_read_trylock(self) -> bool:
        """Take the lock for reading if that needs no wait; say whether it was taken."""
        with self._mutex:
            # Wrong answers: may refuse although a writer only waits and does not hold the lock.
            if self._count < 0 or self._queue:
                return False
            self._count += 1
            self._reads += 1
        if lockdep.on:
            lockdep.acquire(self.lock_class, self, trylock=True)
        return True

    def up_read(self) -> None:
        """Let go of a read lock."""
        if lockdep.on:
            lockdep.release(self.lock_class, self)
        with self._mutex:
            # If other readers are left, a writer in front goes on waiting; it is all that can be in
            # front, as readers would have been let in.
            self._count -= 1
            woken = self._hand_over() if self._queue else ()
        # Outside of the mutex, which the woken need next. They own the lock since the hand-over, so
        # it does not matter how late this comes.
        for waiter in woken:
            waiter.task.wake_up()

    def down_write(self, *, killable: bool = False, nested: bool = False) -> None:
        """Take the lock for writing; nested if another of its class is held, as lockdep says.

        Raises:
            OSError: EINTR if killable and the task was killed first.
        """
        if lockdep.on:
            lockdep.acquire(self.lock_class, self, nested=nested)
        with self._mutex:
            self._writes += 1
            # With the queue empty and no task inside, the lock may be had without being handed
            # over.
            if self._count == 0 and not self._queue:
                self._count = -1
                self.owner = sync.current()
                return
            waiter = self._enqueue(is_writer=True)
        self._wait(waiter, killable)

    def up_write(self) -> None:
        """Let go of the write lock."""
        if lockdep.on:
            lockdep.release(self.lock_class, self)
        self._leave_write(readers=0)

    def downgrade_write(self) -> None:
        """Turn the write lock into a read lock; readers that wait in front may come in."""
        # Lockdep need not know: it is still held, and orders are the same for both modes.
        self._leave_write(readers=1)

    def is_write_locked(self) -> bool:
        """Say whether some task holds the lock for writing, the current one if lockdep is on."""
        # The owner is looked at without _mutex: if it is this task it cannot change meanwhile, and
        # if it is another it cannot become this one.
        if lockdep.on:
            return self.owner is sync.current()
        return self.owner is not None

    def is_locked(self) -> bool:
        """Say whether some task holds the lock, the current one if lockdep is on."""
        if lockdep.on:
            return lockdep.is_held(self.lock_class, self)
        with self._mutex:
            return self._count != 0

    def is_contended(self) -> bool:
        """Say whether some task waits for the lock."""
        # Stale once it is returned: a hint for a holder that could pause.
        with self._mutex:
            return bool(self._queue)

    def statistics(self) -> RwSemStatistics:
        """Return the counts so far."""
        with self._mutex:
            return replace(self._waited, reads=self._reads, writes=self._writes)

    def _leave_write(self, readers: int) -> None:
        # Release and downgrade are one step under the mutex: with readers=1 the lock is never free
        # in between, so no other writer changes what the downgrader has just written.
        with self._mutex:
            self.owner = None
            self._count = readers
            woken = self._hand_over() if self._queue else ()
        for waiter in woken:
            waiter.task.wake_up()

    def _may_read(self) -> bool:
        """Say whether a reader that comes now is let in. Preconditions: _mutex held."""
        # A reader could share the lock with other readers even if a writer waits. It must not:
        # readers that keep coming would starve that writer.
        return self._count >= 0 and not self._queue

    def _is_in(self, waiter: Waiter) -> bool:
        """Say whether a waiter has the lock."""
        # Pairs with the store of granted in _hand_over(), which comes before the wake-up.
        return waiter.granted

    def _enqueue(self, is_writer: bool) -> Waiter:
        """Add the current task to the queue. Preconditions: _mutex held."""
        waiter = Waiter(sync.current(), is_writer)
        self._queue = (*self._queue, waiter)
        return waiter

    def _hand_over(self) -> tuple[Waiter, ...]:
        """Let in the writer in front, or all readers in front; return whom to wake.

        Preconditions: _mutex held.
        """
        woken: list[Waiter] = []
        for waiter in self._queue:
            # Stop at the first one that does not fit, even if others after it would: a reader must
            # not overtake a writer in the queue.
            if self._count < 0 or (waiter.is_writer and self._count > 0):
                break
            self._count += -1 if waiter.is_writer else 1
            if waiter.is_writer:
                self.owner = waiter.task
            # The last store: the waiter may see it at once, without the mutex, and go on.
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
        # EINTR, or an exception from a signal handler, which may come between any two bytecodes:
        # also after the lock was handed over, before anyone knows that we have it.
        except BaseException:
            self._give_up(waiter)
            raise

    def _give_up(self, waiter: Waiter) -> None:
        """Leave the queue, or the lock if it was handed over in the meantime."""
        with self._mutex:
            # Only under the mutex is it certain which of the two it is: the lock may have been
            # handed over after the wait had already ended for the other reason.
            self._queue = tuple(w for w in self._queue if w is not waiter)
            if waiter.granted:
                self._count -= -1 if waiter.is_writer else 1
                self.owner = None
            # Also if it was not granted: a writer that leaves the head of the queue may have been
            # all that kept the readers after it out.
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
