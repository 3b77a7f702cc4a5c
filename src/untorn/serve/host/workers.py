"""The threads that look.

A look may be stuck in a call that waits for a lock of a process, and nothing can end that
(reader/access/limit.py). So the limit is how many threads may be stuck, and only as many run as are
needed. An idle thread ends after a while: if no caller asks, no thread is left.
"""

import _thread
import errno
import threading
from collections import deque
from collections.abc import Callable

from untorn.errors import os_error

Job = Callable[[], object]
_LINGER = 1.0
"""Seconds that a thread waits for more work."""


class Workers:
    """Threads that do one job after the other, in the order of their arrival.

    A thread counts as free if it will look for a job without being told: it was started for one,
    waits for one, or comes back from one. So a job waits only while every thread up to the limit
    has one.

    Args:
        most: The most threads.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._changed = threading.Condition()  # protects everything below
        self._jobs: deque[Job] = deque()
        self._threads = self._free = 0
        self._closed = False

    @property
    def threads(self) -> int:
        """How many threads there are now."""
        with self._changed:
            return self._threads

    def begin(self, job: Job) -> None:
        """Let a job be done. It must raise nothing; it may never end.

        Raises:
            OSError: EAGAIN if no thread is free and none can be started; ESHUTDOWN if closed.
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
        """Start one more thread. The condition is held."""
        try:
            _thread.start_new_thread(self._work, ())  # threading.Thread waits until it runs
        except RuntimeError:  # too many threads, or the interpreter is exiting
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
        """Return the next job; None to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed, _LINGER)
            self._free -= 1
            if self._jobs:
                return self._jobs.popleft()
            self._threads -= 1
            return None

    def close(self) -> None:
        """Let each thread end after its job; begin no more jobs."""
        with self._changed:
            self._closed = True
            self._jobs.clear()
            self._changed.notify_all()
