"""One look at one process: its group, what it maps, what it has in memory.

Large processes are not counted here: only their maps and counters are read, so that many processes
take a short time. Counting is a separate look.
"""

import errno
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import numpy as np

from untorn.errors import OutOfReachError
from untorn.maps.page import KERNEL_HALF, PAGE_SIZE
from untorn.reader.access.budget import Budget
from untorn.reader.access.gentle import Holds
from untorn.reader.access.limit import memory_timeout
from untorn.reader.access.pace import Pace
from untorn.reader.access.task import Status, living_threads, status_of
from untorn.reader.live_maps import LiveMaps
from untorn.reader.looks import look_at
from untorn.reader.memories import Unread
from untorn.reader.memory.memory import Amounts
from untorn.reader.memory.rollup import NO_SIZES, is_own, read_rollup
from untorn.reader.page_walk import pages_of, sizes_of
from untorn.reader.stale import deleted_files
from untorn.serve.export.groups import Groups

LATE = "not read in time"
"""Why a process was not read: the look did not end in time."""
SHARE = 0.1
"""The share of one CPU that looks may use; counts may use as much again."""
_SAVED = 30.0
"""How many seconds of budget are saved up: looks come all at once, at each scrape."""
_NO_REST = Pace(1)
"""No pause is needed: each small process is a different one."""


class Process(NamedTuple):
    """A process; never a later one with its PID."""

    pid: int
    start_time: int
    """Clock ticks since boot."""
    name: bytes
    """The kernel's name of the program."""
    group: str


class Maps(NamedTuple):
    """What a process maps."""

    time: float
    """When we looked, by the monotonic clock."""
    vmas: int
    """How many the kernel counts against max_map_count."""
    deleted: int
    """Bytes mapped from deleted files."""


class Sums(NamedTuple):
    """What a process has in memory, in bytes; None if it is not known exactly."""

    time: float
    """When we looked, by the monotonic clock."""
    resident: int | None
    proportional: int | None
    unique: int | None
    swapped: int | None
    longest_hold_ns: int
    """The longest time that one call held a lock of it."""
    took: float = 0
    """Seconds from the start of the look to its end."""


class Seen(NamedTuple):
    """The result of one look at a process."""

    process: Process
    maps: Maps | None = None
    sums: Sums | None = None
    is_large: bool = False
    """Whether one call would take too long to sum up its memory, so that it must be counted."""
    size: int = 0
    """About how many bytes it has in memory, by its counters."""
    unread: str = ""
    """Why nothing is known of it."""


class ProcessLooks:
    """Looks at processes.

    Args:
        groups: Finds the group of a process.
        proc: Where procfs is mounted.
        max_hold: Seconds that one call may hold a lock of a process.
        share: Share of one CPU that looks may use in the long run; counts may use as much again.

    Attributes:
        proc: Where procfs is mounted.
        looking: The budget of looks.
        counting: The budget of counts; it is separate, so that no look waits for a count.
    """

    def __init__(self, groups: Groups, proc: str, max_hold: float, share: float = SHARE) -> None:
        self._groups, self.proc, self._max_hold = groups, proc, max_hold
        self.looking, self.counting = (Budget(share, saved=_SAVED) for _ in range(2))
        self._patience = max(1, SHARE / share)
        self._lock = threading.Lock()
        self._looks: set[int | Process] = set()  # looks and counts under way; protected by _lock

    def look(self, pid: int, known: Process | None) -> Seen | Unread | None:
        """Look at a process.

        Args:
            pid: Its PID.
            known: What it was when last seen; it keeps its group.

        Returns:
            What was seen. None if it has no memory, is gone, or has no group; Unread if not even
            its group is known.

        Raises:
            OSError: ETIMEDOUT if the look has no time left, or another thread is still stuck with
                the process.
        """
        with self._alone(pid), self.looking.look():
            try:
                process = self._process(pid, known)
            except TimeoutError:
                raise
            except OSError as error:
                is_gone = isinstance(error, FileNotFoundError | ProcessLookupError)
                return None if is_gone else Unread(pid, error)
            return process and self._of_one(process, partial(self._read, process))

    def lives(self, process: Process) -> bool:
        """Return whether a process still exists."""
        status = status_of(self._place(process.pid))
        return status is not None and status.start_time == process.start_time

    def count(self, process: Process) -> Seen | None:
        """Return what a process has in memory, counted slice by slice; None if it is gone.

        Raises:
            OSError: ETIMEDOUT if the look has no time left.
        """
        began = time.monotonic()

        def counted(maps: LiveMaps) -> Sums:
            memory = maps.memory(max_hold=self._max_hold)
            took = time.monotonic() - began
            return _sums(began, memory.total, memory.longest_hold_ns, took)

        def look() -> Seen:
            sums = look_at(process.pid, counted, proc=self.proc, timeout=None, budget=self.counting)
            return Seen(process, sums=sums)

        with self._alone(process), self.counting.look():
            return self._of_one(process, look)

    def time_to_count(self, process: Process) -> float:
        """Return how many seconds counting may take; more if the budget is small.

        Raises:
            OSError: The process is gone.
        """
        return memory_timeout(sizes_of(self._place(process.pid))["VmPTE"]) * self._patience

    def _place(self, pid: int) -> str:
        return f"{self.proc}/{pid}"

    @contextmanager
    def _alone(self, what: int | Process) -> Iterator[None]:
        """Look at a process, or count it, unless another thread does: so only one is ever stuck.

        Raises:
            OSError: ETIMEDOUT if another one does.
        """
        with self._lock:
            if what in self._looks:
                raise TimeoutError(errno.ETIMEDOUT, LATE)
            self._looks.add(what)
        try:
            yield
        finally:
            with self._lock:
                self._looks.discard(what)

    def _may_have_memory(self, pid: int, status: Status) -> bool:
        if status.is_kernel_thread:
            return False
        return not status.leaving or bool(living_threads(pid, self.proc))

    def _process(self, pid: int, known: Process | None) -> Process | None:
        """Return the process; None if it has no memory, or no group."""
        status = status_of(self._place(pid))
        if status is None or not self._may_have_memory(pid, status):
            return None
        if known and (known.start_time, known.name) == (status.start_time, status.command):
            return known
        group = self._groups.group_of(status.command, self._place(pid))
        return Process(pid, status.start_time, status.command, group) if group else None

    def _read(self, process: Process) -> Seen:
        """Return its maps, and its memory if one short call can sum that up."""
        pid, now = process.pid, time.monotonic()
        budget = None if is_own(pid, self.proc) else self.looking  # we hold up only ourselves
        maps = look_at(pid, partial(_maps, now), proc=self.proc, timeout=None, budget=budget)
        holds = Holds(pace=_NO_REST, budget=budget)
        _, sizes, amounts = read_rollup(pid, self.proc, holds, self._max_hold)
        size = pages_of(sizes or NO_SIZES) * PAGE_SIZE
        if amounts is None:
            return Seen(process, maps, is_large=True, size=size)
        sums = _sums(now, amounts, holds.longest_ns if budget else 0)
        return Seen(process, maps, sums, size=size)

    def _of_one(self, process: Process, look: Callable[[], Seen]) -> Seen | None:
        """Return the result of a look if all of it belongs to this process."""
        try:
            seen = look()
        except TimeoutError:
            raise
        except (OSError, OutOfReachError) as error:
            seen = Seen(process, unread=Unread(process.pid, error).reason)
        status = status_of(self._place(process.pid))
        if status is None or status.start_time != process.start_time:
            return None
        return seen if not seen.unread or self._may_have_memory(process.pid, status) else None


def _maps(now: float, maps: LiveMaps) -> Maps:
    taken = maps.snapshot()
    deleted = deleted_files(taken, maps)
    size = sum(entry.size for entries in deleted for entry in entries)
    return Maps(now, int(np.count_nonzero(taken.start < KERNEL_HALF)), size)


def _sums(now: float, amounts: Amounts, longest_hold_ns: int, took: float = 0) -> Sums:
    wanted = amounts.rss, amounts.pss, amounts.private, amounts.swap
    return Sums(now, *wanted, longest_hold_ns, took)
