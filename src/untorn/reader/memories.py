"""The memory of many processes, or of all on a machine.

A small process is read through smaps_rollup, in one call that holds a lock of it for less than the
budget. Each call is to another process, so no pause is needed between them. The others are counted
slice by slice, one after the other, at the pace of one thread, however many there are.
"""

import errno
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from untorn.errors import OutOfReachError
from untorn.reader.access.crew import crew
from untorn.reader.access.gentle import Holds
from untorn.reader.access.limit import (
    GRACE,
    MAX_HOLD,
    PROCESS_TIMEOUT,
    check_limits,
    memory_timeout,
)
from untorn.reader.access.limit import within as in_time
from untorn.reader.access.pace import Pace
from untorn.reader.access.task import (
    living_threads,
    may_have_memory,
    no_map,
    pids_of,
    place_of,
)
from untorn.reader.live_maps import LiveMaps
from untorn.reader.looks import look_at
from untorn.reader.memory.memory import Amounts, How, Memory, least_exact
from untorn.reader.memory.rollup import NO_SIZES, read_rollup
from untorn.reader.page_walk import pages_of, sizes_of, walk_ns

_MOST_THREADS = 4
"""Threads that read small processes, if there are as many CPUs; mostly kernel time."""
_LEAST = 0.01
"""Seconds for a process when the time for all is used up."""
_NO_REST = Pace(1)
Sizes = Mapping[str, int]
OnCount = Callable[[int, int], None]
"""Called before a process is counted, with its PID and about how many bytes are resident."""


class ProcessMemory(NamedTuple):
    """The memory of a process."""

    pid: int
    command: bytes
    """The kernel's name of the program."""
    amounts: Amounts
    how: How
    """SAMPLE if any of it is an estimate."""
    longest_hold_ns: int
    """The longest time that one call kept it from a lock."""
    memory: Memory | None = None
    """VMA by VMA; None for a small process, which was read through smaps_rollup."""


class Unread(NamedTuple):
    """A process that was not read."""

    pid: int
    error: OSError | OutOfReachError
    """Why it was not read."""
    gone: bool = False
    """Whether there is no such process, or it has no memory: a zombie, a kernel thread."""

    @property
    def reason(self) -> str:
        """Why, in a few words."""
        if self.gone:
            return "no memory"
        if isinstance(self.error, TimeoutError):
            return "not read in time"
        if isinstance(self.error, PermissionError):
            return "no right to read"
        if isinstance(self.error, FileNotFoundError | ProcessLookupError):
            return "changed meanwhile"
        return getattr(self.error, "strerror", None) or str(self.error)


@dataclass(slots=True)
class Memories:
    """The memory of several processes."""

    found: list[ProcessMemory] = field(default_factory=list)
    """Sorted by PID."""
    unread: list[Unread] = field(default_factory=list)
    """Sorted by PID."""


def memories(
    pids: Iterable[int] | None = None,
    *,
    proc: str = "/proc",
    max_hold: float = MAX_HOLD,
    within: float | None = None,
    timeout: float | None = None,
) -> Memories:
    """Look at the memory of some processes, or of all.

    Args:
        pids: Which processes; None for all that have memory.
        proc: Where procfs is mounted.
        max_hold: Seconds that one call may hold a lock of a process.
        within: Seconds for all together: large processes are estimated if there is no time for
            more, and 1 second later the unread ones are left out. None for exact numbers.
        timeout: Seconds for each process; None as for memory(), but 2 for a small one.

    Raises:
        OSError: ENOENT if there is no procfs; EMFILE or ENFILE if we may open no more files.
        ValueError: A time is not above 0.
    """
    result = Memories()
    looks = look_at_memories(pids, proc=proc, max_hold=max_hold, within=within, timeout=timeout)
    for each in looks:
        if isinstance(each, Unread):
            result.unread.append(each)
        else:
            result.found.append(each)
    result.found.sort(key=lambda each: each.pid)
    result.unread.sort(key=lambda each: each.pid)
    return result


def look_at_memories(
    pids: Iterable[int] | None,
    *,
    proc: str,
    max_hold: float,
    within: float | None,
    timeout: float | None,
    by_vma: bool = False,
    on_count: OnCount = lambda pid, size: None,
) -> Iterator[ProcessMemory | Unread]:
    """Yield what memories() collects, as soon as it is known: small processes, then large ones.

    Args:
        pids: As for memories(), like the next four.
        proc: Where procfs is mounted.
        max_hold: In seconds.
        within: In seconds.
        timeout: In seconds.
        by_vma: Whether to return each VMA by VMA, small ones too.
        on_count: Called before each process that takes a while.
    """
    check_limits(max_hold, within, timeout)
    named = pids_of(proc) if pids is None else list(dict.fromkeys(pids))
    looks = _Looks(proc, max_hold, timeout, within)
    for each in looks.at(named, by_vma, on_count):
        if pids is not None or not (isinstance(each, Unread) and each.gone):
            yield each


class _Looks:
    """Looks at many processes, within one time for all."""

    def __init__(
        self, proc: str, max_hold: float, timeout: float | None, within: float | None
    ) -> None:
        self._proc, self._max_hold, self._timeout, self._within = proc, max_hold, timeout, within
        self._deadline = None if within is None else time.monotonic() + within
        self._end = math.inf if self._deadline is None else self._deadline + GRACE

    def at(
        self, pids: list[int], by_vma: bool, on_count: OnCount
    ) -> Iterator[ProcessMemory | Unread]:
        """Yield each process's memory: small ones from smaps_rollup, the others VMA by VMA."""
        walk_ns(NO_SIZES)  # measure this once, not in each thread
        threads = min(len(os.sched_getaffinity(0)), _MOST_THREADS)
        make_look = partial(_Looker, self._proc, 0 if by_vma else self._max_hold)
        others: dict[int, Sizes] = {}
        for pid, found in crew(make_look, pids, threads, self._for_small(), self._end):
            if isinstance(found, TimeoutError):
                path = f"{self._proc}/{pid}"
                yield Unread(pid, TimeoutError(errno.ETIMEDOUT, found.strerror, path))
            elif isinstance(found, ProcessMemory | Unread):
                yield found
            else:
                others[pid] = found
        yield from self._count(others, on_count)

    def _for_small(self) -> float:
        """Return the seconds for a small one; those that are stuck must leave time for others."""
        if self._timeout is not None or self._within is None:
            return self._timeout or PROCESS_TIMEOUT
        return min(PROCESS_TIMEOUT, (self._within + GRACE) / 2)

    def _count(
        self, others: Mapping[int, Sizes], on_count: OnCount
    ) -> Iterator[ProcessMemory | Unread]:
        """Count these, the smallest first: time that one does not use goes to the others."""
        smallest_first = sorted(others, key=lambda pid: pages_of(others[pid]))
        for number, pid in enumerate(smallest_first):
            share = self._share(len(others) - number)
            on_count(pid, others[pid]["VmRSS"])
            count = partial(_count, pid, self._proc, self._max_hold, share)
            yield self._in_time(pid, count, self._limit(share, others[pid]))

    def _share(self, number: int) -> float | None:
        """Return the seconds that each of `number` processes may take; None for no limit."""
        if self._deadline is None:
            return None
        return max((self._deadline - time.monotonic()) / number, _LEAST)

    def _limit(self, share: float | None, sizes: Sizes) -> float:
        """Return how many seconds one process may take."""
        usual = memory_timeout(sizes["VmPTE"]) if share is None else share + GRACE
        return min(self._timeout or usual, self._end - time.monotonic())

    def _in_time(
        self, pid: int, count: Callable[[], ProcessMemory | Unread], seconds: float
    ) -> ProcessMemory | Unread:
        try:
            return in_time(max(seconds, 1e-9), count, f"{self._proc}/{pid}")
        except TimeoutError as error:
            return Unread(pid, error)


class _Looker:
    """Looks at small processes, in one thread.

    Args:
        proc: Where procfs is mounted.
        max_hold: Seconds that a call on a small process may take.
    """

    def __init__(self, proc: str, max_hold: float) -> None:
        self._proc, self._max_hold = proc, max_hold
        self._holds = Holds(pace=_NO_REST)

    def __call__(self, pid: int) -> ProcessMemory | Unread | Sizes:
        """Return a process's memory, or why it is unknown; its sizes if it must be counted."""
        self._holds.longest_ns = 0
        try:
            command, sizes, amounts = read_rollup(pid, self._proc, self._holds, self._max_hold)
            if amounts:
                hold = self._holds.longest_ns
                return ProcessMemory(pid, command, amounts, How.SMAPS, hold)
            return sizes or self._sizes_by_thread(pid)
        except TimeoutError:
            raise
        except OSError as error:
            return _unread(pid, error, self._proc)

    def _sizes_by_thread(self, pid: int) -> Sizes:
        """Return the sizes as a thread other than the main one shows them, or raise ESRCH."""
        if may_have_memory(pid, self._proc):
            for thread in living_threads(pid, self._proc):
                return sizes_of(place_of(pid, self._proc, thread.tid))
        raise no_map(pid, self._proc)


def _count(pid: int, proc: str, max_hold: float, within: float | None) -> ProcessMemory | Unread:
    def look(maps: LiveMaps) -> ProcessMemory:
        memory = maps.memory(max_hold=max_hold, within=within)
        how, hold = least_exact(memory.how), memory.longest_hold_ns
        return ProcessMemory(pid, maps.command(), memory.total, how, hold, memory)

    try:
        return look_at(pid, look, proc=proc, timeout=None)
    except TimeoutError:
        raise
    except (OSError, OutOfReachError) as error:
        return _unread(pid, error, proc)


def _unread(pid: int, error: OSError | OutOfReachError, proc: str) -> Unread:
    """Return what an error means. Raises it if it is ours, and would hit the next look, too."""
    if isinstance(error, FileNotFoundError | ProcessLookupError):
        return Unread(pid, error, not may_have_memory(pid, proc))
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        raise error
    return Unread(pid, error)
