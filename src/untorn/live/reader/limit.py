"""Limits on the time that a look at a process takes.

A call into the kernel that waits for a lock of the process cannot be broken off: it waits for as
long as somebody else has the lock, and no signal but SIGKILL ends it. So a look with a limit is
made by another thread. If that is not back in time it is left behind: it makes no further call
(see LiveMapsFile.deadline), and is free as soon as the call that it is in returns. It does not
keep this process from ending.
"""

import errno
import os
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")
TIMEOUT = 10.0
"""Seconds that a look may take unless it is told otherwise."""
MAX_HOLD = 0.001
"""Seconds for which a lock of the process may be held at most, unless it is told otherwise."""
_IDLE = 1.0
"""Seconds after which a thread without work ends."""


class _Limit(threading.local):
    """The deadline of the look that this thread makes, if it makes one."""

    deadline: float | None = None


_limit = _Limit()


class _Look(Generic[T]):
    """One call by another thread, and what came of it."""

    def __init__(
        self, look: Callable[[float], T], deadline: float, if_late: Callable[[], None]
    ) -> None:
        self._look, self._deadline, self._if_late = look, deadline, if_late
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._over = self._left = False  # protected by _lock
        self._end = threading.Lock()  # held until it is over
        self._end.acquire()

    def make(self) -> None:
        """Look, and keep what that returns or raises. By the other thread."""
        _limit.deadline = self._deadline
        try:
            self._result.append(self._look(self._deadline))
        except BaseException as error:
            self._error = error

    def end(self) -> None:
        """Let the result be taken, or clean up if nobody waits for it. By the other thread."""
        with self._lock:
            self._over = True
        self._end.release()
        if self._left:  # which cannot change any more
            self._if_late()

    def result(self, seconds: float) -> T:
        """Return the result, or raise the error. TimeoutError if it is not over in time."""
        try:
            if not self._end.acquire(timeout=seconds):
                raise TimeoutError
        except BaseException as error:  # it is late, or a signal handler raised this
            if self._leave():
                raise
            if not isinstance(error, TimeoutError):
                self._if_late()
                raise
        if isinstance(self._error, TimeoutError):
            self._if_late()
        if self._error is not None:
            raise self._error
        return self._result[0]

    def _leave(self) -> bool:
        """Leave it to the other thread to clean up; return False if that is over."""
        with self._lock:
            self._left = not self._over
        return self._left


class _Threads:
    """Threads that make looks. One is used again, as a new one costs 0.1 ms; idle ones end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: list[SimpleQueue[_Look[object]]] = []  # protected by _lock

    def start(self, look: _Look[T]) -> None:
        """Have a look made."""
        with self._lock:
            looks = self._free.pop() if self._free else None
        if looks is None:
            looks = SimpleQueue()
            threading.Thread(target=self._work, args=(looks,), name="look", daemon=True).start()
        looks.put(look)  # type: ignore[arg-type]

    def _work(self, looks: "SimpleQueue[_Look[object]]") -> None:
        while look := self._next(looks):
            look.make()
            with self._lock:
                self._free.append(looks)
            look.end()
            del look  # or what it returned would live until the next one

    def _next(self, looks: "SimpleQueue[_Look[object]]") -> _Look[object] | None:
        """Wait for a look; None if none came for so long that the thread may end."""
        while True:
            try:
                return looks.get(timeout=_IDLE)
            except Empty:
                with self._lock:
                    if looks in self._free:  # else one is on its way
                        self._free.remove(looks)
                        return None


_threads = _Threads()


def _forget_threads() -> None:
    """Begin anew in a forked child, which has none of these threads."""
    global _threads
    _threads = _Threads()


os.register_at_fork(after_in_child=_forget_threads)


def within(
    seconds: float | None,
    look: Callable[[float | None], T],
    path: str,
    if_late: Callable[[], None] = lambda: None,
) -> T:
    """Return what a look returns. A look within a look has the time of the outer one.

    Args:
        seconds: How long it may take; None for as long as the kernel takes.
        look: Gets its deadline, in seconds of time.monotonic(), or None.
        path: What is looked at, for the error.
        if_late: Is called when a look that was late or interrupted is over, by whichever thread.

    Raises:
        TimeoutError: It is not over in time, with errno ETIMEDOUT.
        BaseException: What the look raises.
    """
    outer = _limit.deadline
    if seconds is None or outer is not None:
        return _within_outer(outer, look, if_late)
    made = _Look(look, time.monotonic() + seconds, if_late)
    _threads.start(made)
    try:
        return made.result(min(seconds, threading.TIMEOUT_MAX))
    except TimeoutError:
        reason = f"not read within {seconds:g} s, which is the limit"
        raise TimeoutError(errno.ETIMEDOUT, reason, path) from None


def _within_outer(
    deadline: float | None, look: Callable[[float | None], T], if_late: Callable[[], None]
) -> T:
    try:
        return look(deadline)
    except BaseException as error:
        if is_interruption(error):
            if_late()
        raise


def is_interruption(error: BaseException) -> bool:
    """Tell whether it ended a look before that was over: it is late, or Ctrl-C was pressed."""
    return isinstance(error, TimeoutError) or not isinstance(error, Exception)
