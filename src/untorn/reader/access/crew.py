"""Look at many processes with a few threads, and do not wait for a thread that is stuck.

A system call that waits for a lock of a process cannot be aborted (see limit.py). A thread for each
look would double the cost of a short look. So a few threads take one process after the other; a
thread that is stuck with a process for too long is left behind, and another one takes its place.
"""

import errno
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Generic, NamedTuple, TypeVar

from untorn.reader.access.limit import is_over, leave_behind, may_begin, until

T = TypeVar("T")
_PATIENCE = 0.1
"""Seconds between two checks for stuck threads."""


def crew(
    make_look: Callable[[], Callable[[int], T]],
    pids: Sequence[int],
    threads: int,
    seconds: float,
    deadline: float = math.inf,
) -> Iterator[tuple[int, T | TimeoutError]]:
    """Yield each process and the result of a look at it, in the order in which the looks end.

    If no thread can be started, the caller's thread looks.

    Args:
        make_look: Called in each thread; returns a function that looks at a process there. Inside
            it, check_time() raises TimeoutError when the look is late.
        pids: The processes.
        threads: How many of them look at the same time.
        seconds: How long each look may take; a look that takes longer is left behind and yields a
            TimeoutError.
        deadline: When all must be done, by the monotonic clock; the rest are then TimeoutErrors.

    Raises:
        BaseException: What make_look raises, and what a look raises except TimeoutError.
    """
    work = _Work(make_look, pids, seconds, deadline)
    members = [member for _ in range(threads) if (member := _Member.started(work))]
    try:
        for _ in pids:
            while (done := work.next_result(_PATIENCE if members else 0)) is None:
                if not members:
                    done = work.look_here()
                    break
                members = [each for member in members if (each := member.unless_stuck())]
            yield done
    finally:
        work.end()
        for member in members:
            member.leave()


class _Failure(NamedTuple):
    """What a thread of the crew raised."""

    error: BaseException


class _Work(Generic[T]):
    """The work to do, and the results.

    Each process is taken by one thread and has one result: from that thread, or from the one that
    leaves it behind. So once no thread and no result is left, no thread has taken the next process,
    and the caller's own thread may look at it.
    """

    def __init__(
        self,
        make_look: Callable[[], Callable[[int], T]],
        pids: Sequence[int],
        seconds: float,
        deadline: float,
    ) -> None:
        self.make_look, self._seconds, self._deadline = make_look, seconds, deadline
        self._lock = threading.Lock()
        self._pids = iter(pids)  # protected by _lock
        self.results: queue.SimpleQueue[tuple[int, T | TimeoutError] | _Failure]
        self.results = queue.SimpleQueue()

    def next_pid(self) -> int | None:
        """Return the next process; None if there is none."""
        with self._lock:
            return next(self._pids, None)

    def next_deadline(self) -> float:
        """Return the deadline of a look that begins now."""
        return min(time.monotonic() + self._seconds, self._deadline)

    def next_result(self, seconds: float) -> tuple[int, T | TimeoutError] | None:
        """Return the next result; None if none comes in time. Raises what a thread raised."""
        try:
            result = self.results.get(timeout=seconds)
        except queue.Empty:
            return None
        if isinstance(result, _Failure):
            raise result.error
        return result

    def look_here(self) -> tuple[int, T | TimeoutError]:
        """Look at the next process in this thread, unless that could leave too many stuck."""
        pid = self.next_pid()
        assert pid is not None
        if not may_begin():
            return pid, self.late()
        return pid, self.look_at(self._look_here, pid, self.next_deadline())

    @cached_property
    def _look_here(self) -> Callable[[int], T]:
        return self.make_look()

    def look_at(self, look: Callable[[int], T], pid: int, deadline: float) -> T | TimeoutError:
        """Return the result of a look, or a TimeoutError if it had no time."""
        if time.monotonic() >= self._deadline:
            return self.late()
        try:
            with until(deadline):
                return look(pid)
        except TimeoutError as error:
            return error

    def late(self) -> TimeoutError:
        """Return the error of a process that was not looked at in time."""
        return TimeoutError(errno.ETIMEDOUT, "not read in time")

    def end(self) -> None:
        """Hand out no more processes."""
        with self._lock:
            self._pids = iter(())


class _Member(Generic[T]):
    """A thread that looks at one process after the other until there are none.

    `_pid` is set to None, and `_left` is set, only under the lock: so for each process either the
    thread itself or the one that left it behind puts the result, never both.
    """

    def __init__(self, work: _Work[T]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._pid: int | None = None  # where it looks; protected by _lock, as are the next two
        self._deadline = 0.0  # written by this thread only, which reads it without the lock
        self._left = False

    @classmethod
    def started(cls, work: _Work[T]) -> "_Member[T] | None":
        """Return a new one; None if no thread can be started, or too many are stuck."""
        member = cls(work)
        if not may_begin():
            return None
        try:
            threading.Thread(target=member._run, name="untorn-crew", daemon=True).start()
        except RuntimeError:  # there are too many threads, or the interpreter is ending
            return None
        return member

    def _run(self) -> None:
        try:
            look = self._work.make_look()
            while (pid := self._begin()) is not None:
                result = self._work.look_at(look, pid, self._deadline)
                if not self._end():
                    return
                self._work.results.put((pid, result))
        except BaseException as error:
            if self._end():
                self._work.results.put(_Failure(error))

    def _begin(self) -> int | None:
        """Take the next process and record it, atomically for leave(); None if there is none."""
        with self._lock:
            self._pid, self._deadline = self._work.next_pid(), self._work.next_deadline()
            return self._pid

    def _end(self) -> bool:
        """Record that the look has ended; return whether the caller still waits for it."""
        with self._lock:
            self._pid = None
            if self._left:
                is_over(self)
            return not self._left

    def leave(self, now: float = math.inf) -> int | None:
        """Stop waiting for a look that is late; return the process that it looks at."""
        with self._lock:
            if self._pid is None or now < self._deadline:
                return None
            self._left = True
            leave_behind(self)
            return self._pid

    def unless_stuck(self) -> "_Member[T] | None":
        """Return this member; if its look is late, another one in its place, if possible."""
        pid = self.leave(time.monotonic())
        if pid is None:
            return self
        self._work.results.put((pid, self._work.late()))
        return self.started(self._work)
