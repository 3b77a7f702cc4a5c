"""Threads that look.

A look may be stuck in a call that waits for a lock of a process: nothing can end that
(reader/access/limit.py). So there are as many threads as may be stuck, of which those run that are
needed. One without work ends after a while: where nobody asks, no thread is left.
"""

import _thread
import errno
import threading
from collections import deque
from collections.abc import Callable

from untorn.errors import os_error

Job = Callable[[], object]
_LINGER = 1.0
"""Seconds for which a thread waits for more work."""


class Workers:
    """Threads that each do one job after the other, in the order in which these come.

    The threads that are free are those that will look for a job without being told: each was
    started for one, or waits for one, or comes back from one. So a job waits only while all threads
    that there may be have one.

    Args:
        most: How many threads there may be.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._changed = threading.Condition()  # all below is protected by it
        self._jobs: deque[Job] = deque()
        self._threads = self._free = 0
        self._closed = False

    @property
    def threads(self) -> int:
        """How many there are now."""
        with self._changed:
            return self._threads

    def begin(self, job: Job) -> None:
        """Have a job done. It raises nothing, and may be one that never ends.

        Raises:
            OSError: EAGAIN if there is no thread for it, nor can one be had; ESHUTDOWN if closed.
        """
        with self._changed:
            if self._closed:
                raise os_error(errno.ESHUTDOWN)
            self._jobs.append(job)
            if len(self._jobs) <= self._free:
                self._changed.notify()
            elif self._threads < self._most:
                self._start()

    def _start(self) -> None:
        """Start one more. The condition is held."""
        try:
            _thread.start_new_thread(self._work, ())  # threading.Thread waits until it runs
        except RuntimeError:  # there are too many, or the interpreter is ending
            if not self._threads:
                self._jobs.clear()
                raise os_error(errno.EAGAIN) from None
        else:
            self._threads += 1
            self._free += 1

    def _work(self) -> None:
        while job := self._next():
            job()
            with self._changed:
                self._free += 1

    def _next(self) -> Job | None:
        """Return what to do next; None to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed, _LINGER)
            self._free -= 1
            if self._jobs:
                return self._jobs.popleft()
            self._threads -= 1
            return None

    def close(self) -> None:
        """Let the threads end, each when its job is over; begin no more."""
        with self._changed:
            self._closed = True
            self._jobs.clear()
            self._changed.notify_all()
