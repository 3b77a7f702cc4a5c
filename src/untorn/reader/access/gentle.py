"""Gentle reading: a reader that holds mmap_lock is not preempted, and does not take it too often.

A file that takes mmap_lock holds it for one system call: a page of text, about 30 us. What hurts
the process being read is a reader of low priority that is preempted during that call: writers, and
the page faults queued after them, then wait for milliseconds, until the reader runs again. So the
reader's thread is raised for that one call, and a pace keeps calls apart.
"""

import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from fcntl import ioctl
from functools import cache, partial
from itertools import takewhile
from operator import call
from typing import Any, TypeVar, cast

from untorn.reader.access.budget import Budget
from untorn.reader.access.kernel_locks import takes_mmap_lock
from untorn.reader.access.limit import check_time
from untorn.reader.access.live_maps_file import LiveMapsFile
from untorn.reader.access.pace import Pace
from untorn.reader.access.priority import NotRaisedWarning, Steps, call_raised, find_raise

T = TypeVar("T")
Call = Callable[..., object]
_PACKAGE = __name__.partition(".")[0]
PACE = Pace()
"""The default pace, common to all files: a tenth of each thread's time."""


class GentleMapsFile(LiveMapsFile):
    """A maps file of the running kernel, read at a raised priority and an even pace.

    Any thread may use it; the raised priority is that of the thread that calls, during the call. A
    thread that may not be raised keeps the pace only, and NotRaisedWarning is given once.

    Args:
        pid: As for LiveMapsFile, like file, proc and thread.
        file: Also "smaps".
        proc: Where procfs is mounted.
        thread: The thread through which to reach the process.
        calls: Which system calls to make gently: os.read, fcntl.ioctl.
        pace: How far apart to make them.
        budget: The budget to charge for them; None for no bound.

    Raises:
        OSError: As LiveMapsFile.
    """

    def __init__(
        self,
        pid: int,
        file: str = "maps",
        proc: str = "/proc",
        thread: int | None = None,
        *,
        calls: frozenset[Call] = frozenset((os.read, ioctl)),
        pace: Pace = PACE,
        budget: Budget | None = None,
    ) -> None:
        self._calls, self._pace, self._budget = calls, pace, budget
        self._raise = find_raise()
        if self._raise is None:
            _warn()
        super().__init__(pid, file, proc, thread)

    @property
    def raised(self) -> bool:
        """Whether the opening thread could raise itself, or had as high a priority already."""
        return self._raise is not None

    def _call(self, function: Call, *arguments: object) -> Any:
        plain = partial(function, *arguments)
        if function not in self._calls:
            return plain()
        if self._budget:
            self._budget.wait()
        return self._pace.spend(partial(self._call_raised, plain))

    def _call_raised(self, plain: Callable[[], object]) -> Any:
        check_time(self._path)  # the pause before the call may have been long
        result, _, cpu_ns = _timed(self._raise and self._raise.prepare(), plain)
        if self._budget:
            self._budget.count_hold(cpu_ns)
        return result


def open_maps_file(
    pid: int,
    file: str = "maps",
    proc: str = "/proc",
    thread: int | None = None,
    *,
    gentle: bool | None = None,
    pace: Pace = PACE,
    budget: Budget | None = None,
) -> LiveMapsFile:
    """Open a maps file of the running kernel.

    Args:
        pid: As for LiveMapsFile, like file, proc and thread.
        file: Also "smaps".
        proc: Where procfs is mounted.
        thread: The thread through which to reach the process.
        gentle: Whether to read it gently; None does so for calls that take mmap_lock here.
        pace: How far apart to make gentle calls.
        budget: The budget to charge for them; None for no bound.

    Raises:
        OSError: As LiveMapsFile.
    """
    whats: dict[Call, str] = {os.read: file, ioctl: "PROCMAP_QUERY"}
    wanted = (call for call, what in whats.items() if gentle or takes_mmap_lock(what))
    if calls := frozenset(wanted if gentle is not False else ()):
        return GentleMapsFile(pid, file, proc, thread, calls=calls, pace=pace, budget=budget)
    return LiveMapsFile(pid, file, proc, thread)


class Holds:
    """Makes the system calls of one look that take mmap_lock on every kernel; records the longest.

    Only the thread that made it may use it, and its priority must stay the same.

    Args:
        gentle: Whether to use a raised priority and an even pace; False makes them at once.
        pace: How far apart to make them.
        budget: The budget to charge for them; None for no bound.

    Attributes:
        longest_ns: How long the longest successful call took, in ns. No lock was held for longer;
            the call may also have waited for the lock or for a CPU.
    """

    def __init__(
        self, *, gentle: bool = True, pace: Pace = PACE, budget: Budget | None = None
    ) -> None:
        self.longest_ns = 0
        self._gentle, self._pace, self._budget = gentle, pace, budget
        way = find_raise() if gentle else None
        if gentle and way is None:
            _warn()
        self._change = way and way.prepare()

    def make(self, function: Callable[[], T]) -> T:
        """Make one call.

        Args:
            function: A C function: see priority.py.
        """
        if self._budget:
            self._budget.wait()
        if not self._gentle:
            return self._note(function)
        return self._pace.spend(partial(self._note, function))

    def _note(self, function: Callable[[], T]) -> T:
        """Make the call and record how long it took."""
        result, ns, cpu_ns = _timed(self._change, function)
        self.longest_ns = max(self.longest_ns, ns)
        if self._budget:
            self._budget.count_hold(cpu_ns)
        return result


def gently(function: Callable[[], T]) -> T:
    """Make one such call, from any thread."""
    return Holds().make(function)


def _timed(change: Steps | None, function: Callable[[], T]) -> tuple[T, int, int]:
    """Call a function at a raised priority, and read the clocks at that priority, too.

    Returns:
        Its result, how many ns it took, and how many of them it had a CPU.
    """
    clock, cpu_clock = time.perf_counter_ns, time.thread_time_ns
    steps: tuple[Callable[[], Any], ...] = clock, cpu_clock, function, cpu_clock, clock
    timed: partial[list[Any]] = partial(list, map(call, steps))
    began, cpu_began, result, cpu_ended, ended = _raised(change, timed)
    return cast(T, result), ended - began, cpu_ended - cpu_began


def _raised(change: Steps | None, function: Callable[[], T]) -> T:
    if change is None:
        return function()
    try:
        return call_raised(change, function)
    except NotRaisedWarning:  # the right was dropped meanwhile
        _warn()
        return function()


@cache
def _warn() -> None:
    """Warn once that the thread may not be raised."""
    warnings.warn(
        "read without a raised priority, which needs CAP_SYS_NICE, RLIMIT_RTPRIO or RLIMIT_NICE: "
        "a reader that is preempted while it holds mmap_lock stalls the process that it reads",
        NotRaisedWarning,
        stacklevel=_level_of_caller(),
    )


def _level_of_caller() -> int:
    """Return the stack level, as warnings.warn() counts, of the first caller outside untorn."""
    frames = (frame for frame, _ in traceback.walk_stack(sys._getframe(1)))
    modules = (str(frame.f_globals.get("__name__")) for frame in frames)
    ours = takewhile(lambda module: module.partition(".")[0] == _PACKAGE, modules)
    return 1 + sum(1 for _ in ours)
