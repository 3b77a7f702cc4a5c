"""Limits on the time that a look at a process takes.

A call into the kernel that waits for a lock of the process cannot be broken off: it waits for as
long as somebody else has the lock, and no signal but SIGKILL ends it. So a look with a limit is
made by a thread of its own, which the caller starts: it has the caller's namespaces, priority and
processors. If it is not back in time it is left behind: it makes no further call (check_time()),
and ends when the call that it is in returns. It does not keep this process from ending, unless
that call cannot be interrupted at all.
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
"""Seconds that a look may take unless it is told otherwise."""
_MEMORY_TIMEOUT, _PER_TABLE = 60.0, 0.01
"""The same of a look at memory, and what it may take more for each page table: several times what
counting its pages takes, with the rests in between."""
GRACE = 1.0
"""Seconds for which a look is waited for that has to have come to an end by itself."""
PROCESS_TIMEOUT = 2.0
"""Seconds for one of all processes: one that is stuck is not to stop a look at all."""
MAX_HOLD = 0.001
"""Seconds for which a lock of the process may be held at most, unless it is told otherwise."""
_MOST_LEFT = 64
"""Looks left behind at a time; who goes on looking at what does not answer gets no more."""


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
    """Return what a look returns. A look within a look has the time of the outer one.

    Args:
        seconds: How long it may take; None for as long as the kernel takes.
        look: Makes no call after its time: see check_time().
        path: What is looked at, for the error.
        if_late: Is called when a look that was late or interrupted is over, by whichever thread.

    Raises:
        TimeoutError: It is not over in time, with errno ETIMEDOUT.
        ValueError: The seconds are not more than 0.
        BaseException: What the look raises.
    """
    check_limits(seconds)
    if seconds is None or _limit.deadline is not None:
        return _by_this_thread(_limit.deadline, look, if_late)
    return _in_time(seconds, look, path, if_late)


def memory_timeout(page_tables: int) -> float:
    """Return how many seconds a look at memory may take unless it is told otherwise.

    Args:
        page_tables: Bytes of them that the process has.
    """
    return _MEMORY_TIMEOUT + page_tables / PAGE_SIZE * _PER_TABLE


def check_limits(*limits: float | None) -> None:
    """Raise ValueError if one of these is not more than 0 seconds; None is no limit."""
    for seconds in limits:
        if seconds is not None and not seconds > 0:
            raise ValueError(f"a limit of {seconds} s: it must be more than 0")


def within_half(look: Callable[[], T], path: str) -> T:
    """Return what part of a look returns that may take half of the time that is left.

    Raises:
        TimeoutError: It is not over in time.
        BaseException: What the part raises.
    """
    if _limit.deadline is None:
        return look()
    left = max(_limit.deadline - time.monotonic(), 0) / 2
    return _in_time(left, look, path, lambda: None)


@contextmanager
def half_the_time() -> Iterator[None]:
    """Have what is done inside stop after half of the time that is left."""
    if _limit.deadline is None:
        yield
        return
    with until((time.monotonic() + _limit.deadline) / 2):
        yield


@contextmanager
def until(deadline: float) -> Iterator[None]:
    """Have what is done inside stop at that time of the monotonic clock, or before.

    It raises TimeoutError then, as check_time(), by which those outside can tell whose time it was.
    """
    before = _limit.deadline
    _limit.deadline = deadline if before is None else min(before, deadline)
    try:
        yield
    finally:
        _limit.deadline = before


def check_time(path: str) -> None:
    """Raise TimeoutError if the look that this thread makes has no time left."""
    if _limit.deadline is not None and time.monotonic() >= _limit.deadline:
        raise TimeoutError(errno.ETIMEDOUT, "not read in time", path)


def leave_behind(look: object) -> None:
    """Note that nobody waits for a look any more, though it is not over."""
    with _lock:
        _left_behind.add(look)


def is_over(look: object) -> None:
    """Note that a look is over, whether it was left behind or not."""
    with _lock:
        _left_behind.discard(look)


def may_begin() -> bool:
    """Tell whether a look may begin that may have to be left behind, too."""
    with _lock:
        return len(_left_behind) < _MOST_LEFT


def is_interruption(error: BaseException) -> bool:
    """Tell whether it ended a look before that was over: it is late, or Ctrl-C was pressed."""
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
    """No thread can be had: there are too many, or the interpreter is ending."""


class _Look(Generic[T]):
    """One look by a thread of its own, and what came of it."""

    def __init__(self, look: Callable[[], T], deadline: float, if_late: Callable[[], None]) -> None:
        self._look, self._deadline, self._if_late = look, deadline, if_late
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._over = self._left = False  # protected by _lock
        self._end = _thread.allocate_lock()  # held until it is over
        self._end.acquire()

    def _make(self) -> None:
        """Look, and clean up if nobody waits for the result any more. By the other thread."""
        _limit.deadline = self._deadline
        try:
            self._result.append(self._look())
        except BaseException as error:
            self._error = error
        with _lock:
            self._over = True
            _left_behind.discard(self)
        self._end.release()
        if self._left:  # which cannot change any more
            self._if_late()

    def result(self, seconds: float) -> T:
        """Return the result, or raise the error. TimeoutError if it is not over in time."""
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
        """Leave it to the other thread to clean up; return False if the look is over."""
        with _lock:
            self._left = not self._over
            if self._left:
                _left_behind.add(self)
        return self._left
