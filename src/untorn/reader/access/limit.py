"""Time limits of looks at a process.

A system call that waits for a lock of the process cannot be aborted: it waits until the holder
releases the lock, and no signal but SIGKILL ends it. So a look with a limit runs in a thread of its
own. The caller starts it, so it has the caller's namespaces, priority and CPUs. A look that is late
is left behind: it makes no further call (check_time()), and ends when its current call returns. It
does not keep this process from exiting, unless that call is uninterruptible.
"""

import _thread
import errno
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from untorn.maps.page import PAGE_SIZE

T = TypeVar("T")
TIMEOUT = 10.0
"""Seconds that a look may take by default."""
_MEMORY_TIMEOUT, _PER_TABLE = 60.0, 0.01
"""The default for a look at memory, and seconds more for each page table: several times what
counting its pages takes, with the pauses in between."""
GRACE = 1.0
"""Extra seconds for a look that should have ended by itself."""
PROCESS_TIMEOUT = 2.0
"""Seconds for each of all processes: one that is stuck must not stop the look at the rest."""
MAX_HOLD = 0.001
"""Seconds that a lock of the process may be held, by default."""
_MOST_LEFT = 64
"""The most looks that may be left behind: more looks at what does not answer are refused."""


class _Limit(threading.local):
    """The deadline of the look that this thread makes, if it makes one."""

    deadline: float | None = None


_limit = _Limit()
_lock = threading.Lock()
_left_behind: set[object] = set()  # protected by _lock


def within(
    seconds: float | None,
    look: Callable[[], T],
    path: str,
    if_late: Callable[[], None] = lambda: None,
) -> T:
    """Return the result of a look. A look inside a look has the outer one's deadline.

    Args:
        seconds: Seconds that it may take; None for as long as the kernel takes.
        look: Makes no call once it is late: see check_time().
        path: What it looks at, for the error.
        if_late: Called when a late or interrupted look has ended, in any thread.

    Raises:
        TimeoutError: It did not end in time; errno is ETIMEDOUT.
        ValueError: seconds is not above 0.
        BaseException: What the look raises.
    """
    check_limits(seconds)
    if seconds is None or _limit.deadline is not None:
        return _by_this_thread(_limit.deadline, look, if_late)
    return _in_time(seconds, look, path, if_late)


def memory_timeout(page_tables: int) -> float:
    """Return how many seconds a look at memory may take by default.

    Args:
        page_tables: Bytes of the process's page tables.
    """
    return _MEMORY_TIMEOUT + page_tables / PAGE_SIZE * _PER_TABLE


def check_limits(*limits: float | None) -> None:
    """Raise ValueError unless each of these is above 0 seconds; None is no limit."""
    for seconds in limits:
        if seconds is not None and not seconds > 0:
            raise ValueError(f"a limit of {seconds} s: it must be more than 0")


def within_half(look: Callable[[], T], path: str) -> T:
    """Return the result of a part of a look; the part may take half of the remaining time.

    Raises:
        TimeoutError: It did not end in time.
        BaseException: What the part raises.
    """
    if _limit.deadline is None:
        return look()
    left = max(_limit.deadline - time.monotonic(), 0) / 2
    return _in_time(left, look, path, lambda: None)


@contextmanager
def half_the_time() -> Iterator[None]:
    """Let what runs inside stop after half of the remaining time."""
    if _limit.deadline is None:
        yield
        return
    with until((time.monotonic() + _limit.deadline) / 2):
        yield


@contextmanager
def until(deadline: float) -> Iterator[None]:
    """Let what runs inside stop at that time of the monotonic clock, or earlier.

    check_time() then raises TimeoutError inside; outside it tells whether all time is up.
    """
    before = _limit.deadline
    _limit.deadline = deadline if before is None else min(before, deadline)
    try:
        yield
    finally:
        _limit.deadline = before


def check_time(path: str) -> None:
    """Raise TimeoutError if this thread's look has no time left."""
    if _limit.deadline is not None and time.monotonic() >= _limit.deadline:
        raise TimeoutError(errno.ETIMEDOUT, "not read in time", path)


def leave_behind(look: object) -> None:
    """Record that no caller waits for a look any more, though it has not ended."""
    with _lock:
        _left_behind.add(look)


def is_over(look: object) -> None:
    """Record that a look has ended, whether it was left behind or not."""
    with _lock:
        _left_behind.discard(look)


def may_begin() -> bool:
    """Return whether another look may begin that might have to be left behind."""
    with _lock:
        return len(_left_behind) < _MOST_LEFT


def is_interruption(error: BaseException) -> bool:
    """Return whether an error cut a look short: it was late, or Ctrl-C was pressed."""
    return isinstance(error, TimeoutError) or not isinstance(error, Exception)


def _in_time(seconds: float, look: Callable[[], T], path: str, if_late: Callable[[], None]) -> T:
    deadline = time.monotonic() + seconds
    made = _Look(look, deadline, if_late)
    try:
        try:
            return made.result(min(seconds, threading.TIMEOUT_MAX))
        except _NoThreadError:
            return _by_this_thread(deadline, look, if_late)
    except TimeoutError:
        reason = f"not read within {seconds:g} s, which is the limit"
        raise TimeoutError(errno.ETIMEDOUT, reason, path) from None


def _by_this_thread(
    deadline: float | None, look: Callable[[], T], if_late: Callable[[], None]
) -> T:
    before, _limit.deadline = _limit.deadline, deadline
    try:
        return look()
    except BaseException as error:
        if is_interruption(error):
            if_late()
        raise
    finally:
        _limit.deadline = before


class _NoThreadError(Exception):
    """No thread can be started: there are too many, or the interpreter is exiting."""


class _Look(Generic[T]):
    """One look in a thread of its own, and its result."""

    def __init__(self, look: Callable[[], T], deadline: float, if_late: Callable[[], None]) -> None:
        self._look, self._deadline, self._if_late = look, deadline, if_late
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._over = self._left = False  # protected by _lock
        self._end = _thread.allocate_lock()  # held until it has ended
        self._end.acquire()

    def _make(self) -> None:
        """Look, and clean up if the caller no longer waits for the result. Runs in that thread."""
        _limit.deadline = self._deadline
        try:
            self._result.append(self._look())
        except BaseException as error:
            self._error = error
        with _lock:
            self._over = True
            _left_behind.discard(self)
        self._end.release()
        if self._left:  # this cannot change any more
            self._if_late()

    def result(self, seconds: float) -> T:
        """Return the result, or raise the error. TimeoutError if it does not end in time."""
        self._start()
        try:
            if not self._end.acquire(timeout=seconds) and self._leave():
                raise TimeoutError
        except BaseException as error:  # it is late, or a signal handler raised this
            if not isinstance(error, TimeoutError) and not self._leave():
                self._if_late()
            raise
        if isinstance(self._error, TimeoutError):
            self._if_late()
        if self._error is not None:
            raise self._error
        return self._result[0]

    def _start(self) -> None:
        if not may_begin():
            raise TimeoutError
        try:
            _thread.start_new_thread(self._make, ())  # threading.Thread takes twice as long
        except RuntimeError as error:
            raise _NoThreadError from error

    def _leave(self) -> bool:
        """Leave the clean-up to the other thread; return False if the look has ended."""
        with _lock:
            self._left = not self._over
            if self._left:
                _left_behind.add(self)
        return self._left
