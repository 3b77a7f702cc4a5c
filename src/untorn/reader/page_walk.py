"""How long the kernel walks page tables; and guard pages, which only a walk finds.

A walk holds a lock of the process, so we estimate its time first: counters that are read without a
lock say how much there is, times what this machine needs for it, measured on pages of our own.

Source: proc_pid_status(5), proc_pid_smaps(5); PAGEMAP_SCAN in
Documentation/admin-guide/mm/pagemap.rst.
"""

import ctypes
import mmap
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from functools import cache, partial
from pathlib import Path

from untorn.errors import OutOfReachError, describe
from untorn.maps.entry import MapsEntry
from untorn.maps.maps_file import FILL_SIZE
from untorn.maps.page import KERNEL_HALF, PAGE_SIZE, PMD_SHIFT
from untorn.maps.pagemap import ENTRY_SIZE, PAGE_IS_GUARD, PAGE_IS_PRESENT, PageScan, PmScanArg
from untorn.reader.access.gentle import Holds
from untorn.reader.access.live_maps_file import LiveMapsFile
from untorn.reader.access.pagemap import LivePagemap

_TABLE = 512
"""Entries of a page table."""
_SAMPLE, _WALKS, _LESS = 2048 * PAGE_SIZE, 10, 0.98
_UNKNOWN_NS = 1000.0
"""For a page, if it cannot be measured: more than any machine needs."""


def walk_ns(sizes: Mapping[str, int]) -> float:
    """Return how long a walk of all page tables of a process takes at most, in ns, roughly.

    That is its pages, from counters that are read without a lock, times what a page takes on this
    machine, plus the other entries of its tables. Entries of the zero page are in no counter and
    take longest, so all others count as such.

    Args:
        sizes: See sizes_of().
    """
    pages = pages_of(sizes)
    others = max(sizes["VmPTE"] // ENTRY_SIZE - pages, 0)
    return pages * page_ns() + others * _other_ns()


def pages_of(sizes: Mapping[str, int]) -> int:
    """Return how many pages a process has, from its counters."""
    small = (sizes["VmRSS"] + sizes["VmSwap"]) // PAGE_SIZE
    return small + (sizes["HugetlbPages"] >> PMD_SHIFT)


@cache
def _other_ns() -> float:
    try:
        return entry_ns()
    except (OutOfReachError, PermissionError):  # we may have dropped the right to read our own
        return page_ns()


def sizes_of(place: str) -> dict[str, int]:
    """Return a process's counters in bytes, by their names in status.

    They include VmRSS, VmSwap, VmLck, HugetlbPages and VmPTE, 0 if missing.

    Raises:
        OSError: The process is gone.
    """
    status = (Path(place) / "status").read_bytes()
    lines = re.findall(rb"^(\w+):\s*(\d+) kB$", status, re.M)
    sizes = {name.decode(): int(kib) << 10 for name, kib in lines}
    return dict.fromkeys(("VmRSS", "VmSwap", "VmLck", "HugetlbPages", "VmPTE"), 0) | sizes


@cache
def page_ns() -> float:
    """Return how long the kernel needs for one page of a walk at most, in ns; measured here.

    It walks all our pages, and some that are made for it: the time of the fastest walk, divided by
    the number of pages. As a walk costs more than its pages, this is an overestimate.
    """
    return _with_sample(lambda sample: _settled(_walk_own))


@cache
def entry_ns() -> float:
    """Return how long PAGEMAP_SCAN takes per entry of a page table, in ns; measured here.

    Raises:
        OutOfReachError: The kernel does not have it (since Linux 6.7).
    """
    return _with_sample(lambda sample: _settled(partial(_scan_own, sample)))


@cache
def none_ns() -> float:
    """Return how long it takes per unused entry, in ns; raises as entry_ns()."""

    def scan_empty(sample: int) -> float:
        ctypes.CDLL(None).madvise(
            ctypes.c_void_p(sample), ctypes.c_size_t(_SAMPLE), mmap.MADV_DONTNEED
        )
        return _settled(partial(_scan_own, sample))

    return _with_sample(scan_empty)


def _settled(measure: Callable[[], float]) -> float:
    """Return the least measurement, once several more brought no smaller one."""
    least, since = measure(), 0
    while since < _WALKS:
        now = measure()
        since = 0 if now < least * _LESS else since + 1
        least = min(least, now)
    return least


def _with_sample(measure: Callable[[int], float]) -> float:
    """Return a measurement made while there are pages of our own at an address; free them."""
    with mmap.mmap(-1, _SAMPLE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as sample:
        with suppress(OSError):  # a kernel without huge pages
            sample.madvise(mmap.MADV_NOHUGEPAGE)
        sample.write(bytes(_SAMPLE))
        return measure(ctypes.addressof(ctypes.c_char.from_buffer(sample)))


def _scan_own(sample: int) -> float:
    """Return the time per entry of the sample, in ns. Raises OutOfReachError."""
    holds = Holds(gentle=False)
    with closing(LivePagemap("/proc/self", holds, holds)) as pagemap:
        _scan(pagemap, sample, sample + _SAMPLE, PAGE_IS_PRESENT)
    return holds.longest_ns * PAGE_SIZE / _SAMPLE


def _walk_own() -> float:
    """Return the time per page of our own, in ns."""
    with LiveMapsFile(os.getpid(), "smaps_rollup") as rollup:
        began = time.perf_counter_ns()
        text = rollup.read(FILL_SIZE)
        took = time.perf_counter_ns() - began
    resident = re.search(rb"\nRss: *(\d+) kB", text)
    return took * PAGE_SIZE / (int(resident[1]) << 10) if resident else _UNKNOWN_NS


def guard_ranges(entry: MapsEntry, place: str, max_hold: float) -> Iterator[tuple[int, int]]:
    """Yield the ranges of guard pages in a VMA: byte addresses, end exclusive.

    Args:
        entry: The VMA.
        place: Directory in /proc through which to reach the process.
        max_hold: Seconds that a lock of the process may be held.

    Raises:
        OutOfReachError: The kernel does not report them.
        OSError: pagemap may not be read; ETIMEDOUT if there is no time left.
    """
    holds = Holds()
    with closing(LivePagemap(place, holds, holds)) as pagemap:
        at, last, size = entry.start, None, slice_size(place, max_hold)
        while at < entry.end <= KERNEL_HALF:
            found = _scan(pagemap, at, min(entry.end, at + size), PAGE_IS_GUARD)
            for start, end, _ in found.regions:
                if last and last[1] == start:
                    start = last[0]
                elif last:
                    yield last
                last = start, end
            at = found.walk_end
        if last:
            yield last


def slice_size(place: str, max_hold: float) -> int:
    """Return how many bytes of addresses one call may walk: all, if little is mapped."""
    most = max_hold * 1e9 / entry_ns()
    entries = sizes_of(place)["VmPTE"] // ENTRY_SIZE
    return KERNEL_HALF if entries <= most else max(int(most), _TABLE) * PAGE_SIZE


def _scan(pagemap: LivePagemap, start: int, end: int, category: int) -> PageScan:
    """Return the ranges of pages of a category, from start on. Raises OutOfReachError."""
    try:
        return pagemap.scan(PmScanArg(start, end, category, return_mask=category))
    except TimeoutError:
        raise
    except OSError as error:
        since = "6.16" if category == PAGE_IS_GUARD else "6.7"
        raise OutOfReachError(
            f"this kernel does not report it (since {since}): {describe(error)}"
        ) from error
