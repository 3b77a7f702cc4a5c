"""Many looks at many processes, by a few threads, of which none is waited for when it is stuck.

A call into the kernel that waits for a lock of a process cannot be broken off (see limit.py). To
give each look a thread of its own costs as much again as a short look. So a few threads take one
process after the other; one that is stuck with a process for too long is left behind, and another
takes its place.
"""

import errno
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from untorn.reader.access.limit import until

T = TypeVar("T")
_PATIENCE = 0.1
"""Seconds from one look for stuck threads to the next."""


def crew(
    make_look: Callable[[], Callable[[int], T]], pids: Sequence[int], threads: int, seconds: float
) -> Iterator[tuple[int, T | TimeoutError]]:
    """Yield of each process what a look at it returns, in the order in which they are over.

    Args:
        make_look: Returns, in each thread, what looks at a process there; this must not raise.
            Calls of check_time() within it raise TimeoutError when it is late.
        pids: The processes.
        threads: How many look at the same time.
        seconds: How long each look may take; then it is left behind, and a TimeoutError yielded.
    """
    work = _Work(make_look, pids)
    members = [_Member(work, seconds) for _ in range(threads)]
    try:
        for _ in pids:
            while (done := work.next_result(_PATIENCE)) is None:
                members = [each.replaced_if_stuck() for each in members]
            yield done
    finally:
        work.end()


class _Work(Generic[T]):
    """What is to be done, and what was."""

    def __init__(self, make_look: Callable[[], Callable[[int], T]], pids: Sequence[int]) -> None:
        self.make_look = make_look
        self._lock = threading.Lock()
        self._pids = iter(pids)  # protected by _lock
        self.results: queue.SimpleQueue[tuple[int, T | TimeoutError]] = queue.SimpleQueue()

    def next_pid(self) -> int | None:
        """Return the next process; None if there is none."""
        with self._lock:
            return next(self._pids, None)

    def next_result(self, seconds: float) -> tuple[int, T | TimeoutError] | None:
        """Return the next result; None if there is none in time."""
        try:
            return self.results.get(timeout=seconds)
        except queue.Empty:
            return None

    def end(self) -> None:
        """Give out no more processes."""
        with self._lock:
            self._pids = iter(())


class _Member(Generic[T]):
    """A thread that looks at one process after the other until there is none."""

    def __init__(self, work: _Work[T], seconds: float) -> None:
        self._work, self._seconds = work, seconds
        self._lock = threading.Lock()
        self._pid: int | None = None  # at which it looks; protected by _lock, as are the next two
        self._deadline = 0.0
        self._left = False
        threading.Thread(target=self._run, name="untorn-crew", daemon=True).start()

    def _run(self) -> None:
        look = self._work.make_look()
        while (pid := self._work.next_pid()) is not None:
            self._begin(pid)
            with until(self._deadline):
                result = look(pid)
            if not self._end():
                return
            self._work.results.put((pid, result))

    def _begin(self, pid: int) -> None:
        """Note at what it looks from now on."""
        with self._lock:
            self._pid, self._deadline = pid, time.monotonic() + self._seconds

    def _end(self) -> bool:
        """Note that the look is over; return whether somebody still waits for it."""
        with self._lock:
            self._pid = None
            return not self._left

    def replaced_if_stuck(self) -> "_Member[T]":
        """Return it; or if its look is late, another one in its place, and a result for that."""
        with self._lock:
            pid = self._pid
            if pid is None or time.monotonic() < self._deadline:
                return self
            self._left = True
        late = TimeoutError(errno.ETIMEDOUT, f"not read within {self._seconds:g} s")
        self._work.results.put((pid, late))
        return _Member(self._work, self._seconds)
