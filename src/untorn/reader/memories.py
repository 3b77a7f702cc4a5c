"""The memory of all processes of a machine.

A small process is read by smaps_rollup, in one call that holds a lock of it for less than the
budget: each is another process, so there is no rest from one to the next. The others are counted
slice by slice, one after the other at the pace of one thread, whatever their number.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from untorn.errors import OutOfReachError
from untorn.reader.access.crew import crew
from untorn.reader.access.gentle import Holds
from untorn.reader.access.limit import MAX_HOLD, PROCESS_TIMEOUT, check_limits
from untorn.reader.access.pace import Pace
from untorn.reader.access.task import living_threads, status_of
from untorn.reader.looks import memory
from untorn.reader.memory.facts import swap_used
from untorn.reader.memory.memory import Amounts, How, Memory, least_exact
from untorn.reader.memory.rollup import read_rollup
from untorn.reader.page_walk import page_ns, pages_of, sizes_of

_MOST_THREADS = 4
"""That read small processes at the same time, if there are as many CPUs; kernel time, mostly."""
_LEAST = 0.01
"""Seconds for a process when there is no more time for all."""
_NO_REST = Pace(1)


class ProcessMemory(NamedTuple):
    """What a process has."""

    pid: int
    command: bytes
    """What the kernel calls the program."""
    amounts: Amounts
    how: How
    """SAMPLE if any of it is an estimate."""
    longest_hold_ns: int
    """How long it was kept from a lock by one call at most."""


class Looked(NamedTuple):
    """What a process has, VMA by VMA."""

    pid: int
    command: bytes
    """What the kernel calls the program."""
    memory: Memory

    def summed(self) -> ProcessMemory:
        """Return what it has in all."""
        how, hold = least_exact(self.memory.how), self.memory.longest_hold_ns
        return ProcessMemory(self.pid, self.command, self.memory.total, how, hold)


class Unread(NamedTuple):
    """A process that was not read."""

    pid: int
    reason: str


@dataclass(slots=True)
class Memories:
    """What all processes have that have memory."""

    found: list[ProcessMemory] = field(default_factory=list)
    """By pid."""
    unread: Counter[str] = field(default_factory=Counter)
    """Why others were not read, and how many."""


def memories(
    proc: str = "/proc", *, max_hold: float = MAX_HOLD, within: float | None = None
) -> Memories:
    """Look at the memory of all processes.

    Args:
        proc: Where procfs is mounted.
        max_hold: Seconds for which a lock of a process may be held at most by one call.
        within: Seconds that all may take together: large ones are estimated if there is no time
            for more. None for exact numbers.

    Raises:
        OSError: ENOENT if there is no procfs.
        ValueError: A time is not more than 0.
    """
    check_limits(max_hold, within)
    result = Memories()
    for each in look_at_all(proc, max_hold, within):
        if isinstance(each, Unread):
            result.unread[each.reason] += 1
        else:
            result.found.append(each)
    result.found.sort()
    return result


def look_at_all(
    proc: str, max_hold: float, within: float | None
) -> Iterator[ProcessMemory | Unread]:
    """Yield what memories() collects, as soon as it is known: small processes, then large ones."""
    deadline = _deadline(within)
    pids = _list(proc)
    threads = min(len(os.sched_getaffinity(0)), _MOST_THREADS)
    page_ns()  # measured once, not by each thread
    most_pages = 0 if swap_used(proc) else int(max_hold * 1e9 / page_ns())
    others: list[int] = []
    for pid, found in crew(partial(_Looker, proc, most_pages), pids, threads, PROCESS_TIMEOUT):
        if isinstance(found, ProcessMemory):
            yield found
        elif isinstance(found, TimeoutError | PermissionError):
            yield Unread(pid, _reason(found))
        elif found is None and _may_have_memory(pid, proc):
            others.append(pid)
    for each in _look_at(others, proc, max_hold, deadline):
        yield each.summed() if isinstance(each, Looked) else each


def look_at_each(proc: str, max_hold: float, within: float | None) -> Iterator[Looked | Unread]:
    """Yield what each process has, VMA by VMA, as memories() does of their sums."""
    deadline = _deadline(within)
    yield from _look_at(_list(proc), proc, max_hold, deadline)


def _deadline(within: float | None) -> float | None:
    return None if within is None else time.monotonic() + within


def _list(proc: str) -> list[int]:
    os.lstat(f"{proc}/self")
    return sorted(int(name) for name in os.listdir(proc) if name.isdecimal())  # noqa: PTH208


class _Looker:
    """Looks at processes that are small, by one thread.

    Args:
        proc: Where procfs is mounted.
        most_pages: How many pages one has at most that is small.
    """

    def __init__(self, proc: str, most_pages: int) -> None:
        self._proc, self._most_pages = proc, most_pages
        self._holds = Holds(pace=_NO_REST)

    def __call__(self, pid: int) -> ProcessMemory | OSError | None:
        """Return what a process has, or why that is not known; None if it has to be counted."""
        self._holds.longest_ns = 0
        try:
            status, amounts = read_rollup(pid, self._proc, self._holds, self._most_pages)
        except OSError as error:
            return error
        if amounts is None:
            return None
        return ProcessMemory(pid, status.command, amounts, How.SMAPS, self._holds.longest_ns)


def _may_have_memory(pid: int, proc: str) -> bool:
    """Tell whether some thread of a process may have memory."""
    status = status_of(f"{proc}/{pid}")
    if status is None or status.is_kernel_thread:
        return False
    return not status.leaving or bool(living_threads(pid, proc))


def _look_at(
    pids: list[int], proc: str, max_hold: float, deadline: float | None
) -> Iterator[Looked | Unread]:
    """Look at these, the smallest first: each may take its share of the time."""
    sizes = {pid: _pages(pid, proc) for pid in pids}
    left = sum(sizes.values())
    for pid in sorted(pids, key=sizes.__getitem__):
        within = None
        if deadline is not None:
            within = max((deadline - time.monotonic()) * sizes[pid] / max(left, 1), _LEAST)
        left -= sizes[pid]
        try:
            found = memory(pid, proc=proc, max_hold=max_hold, within=within)
            status = status_of(f"{proc}/{pid}")
        except (OSError, OutOfReachError) as error:
            if _may_have_memory(pid, proc):
                yield Unread(pid, _reason(error))
        else:
            if status:
                yield Looked(pid, status.command, found)


def _pages(pid: int, proc: str) -> int:
    try:
        return pages_of(sizes_of(f"{proc}/{pid}"))
    except OSError:
        return 0


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "not read in time"
    return "no right to read" if isinstance(error, PermissionError) else "changed meanwhile"
