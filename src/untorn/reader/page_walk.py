"""How long the kernel walks page tables, and guard pages, which only a walk finds.

A walk holds a lock of the process, so how long one can take is estimated before: by what the
process has, which counters tell without a lock, times what this machine needs, which is measured
on pages of our own.

Source: proc_pid_status(5), proc_pid_smaps(5); PAGEMAP_SCAN in
Documentation/admin-guide/mm/pagemap.rst.
"""

import ctypes
import mmap
import os
import re
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from fcntl import ioctl
from functools import cache, partial
from pathlib import Path

from untorn.errors import OutOfReachError, describe
from untorn.maps.entry import MapsEntry
from untorn.maps.maps_file import FILL_SIZE
from untorn.maps.page import KERNEL_HALF, PAGE_SIZE
from untorn.maps.pagemap import PAGE_IS_GUARD, PAGEMAP_SCAN, REGION_SIZE, PageRegion, PmScanArg
from untorn.reader.access.gentle import gently
from untorn.reader.access.limit import check_time
from untorn.reader.access.live_maps_file import LiveMapsFile

_REGIONS = 512
_ENTRY, _TABLE = 8, 512
"""Bytes of an entry of a page table, and entries of one table."""
_SAMPLE, _WALKS = 2048 * PAGE_SIZE, 10
_UNKNOWN_NS = 1000.0
"""For a page, where it cannot be measured: more than any machine needs."""


def walk_ns(place: str) -> int:
    """Return about how long it takes to walk the page tables of a whole process, in ns.

    Its pages, by counters that are read without a lock, times what a page takes on this machine.
    """
    size = _sizes(place)
    pages = (size["VmRSS"] + size["VmSwap"]) // PAGE_SIZE + (size["HugetlbPages"] >> 21)
    return int(pages * page_ns())


def _sizes(place: str) -> dict[str, int]:
    """Return in bytes what counters tell of a process: resident, swapped, its page tables."""
    status = (Path(place) / "status").read_bytes()
    lines = re.findall(rb"^(\w+):\s*(\d+) kB$", status, re.M)
    sizes = {name.decode(): int(kib) << 10 for name, kib in lines}
    return dict.fromkeys(("VmRSS", "VmSwap", "HugetlbPages", "VmPTE"), 0) | sizes


@cache
def page_ns() -> float:
    """Return how long the kernel takes for a page of a walk at most, in ns; measured here.

    It walks all that we have, and pages that are made for it: the time of the fastest walk by the
    number of pages. What a walk takes beside its pages makes that rather more than it is.
    """
    return _with_sample(lambda sample: min(_walk_own() for _ in range(_WALKS)))


@cache
def _entry_ns() -> float:
    """Return how long PAGEMAP_SCAN takes for an entry of a page table, in ns; measured here."""
    return _with_sample(lambda sample: min(_scan_own(sample) for _ in range(_WALKS)))


def _with_sample(measure: Callable[[int], float]) -> float:
    """Return what is measured while there are pages of our own at an address, and free them."""
    with mmap.mmap(-1, _SAMPLE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as sample:
        with suppress(OSError):  # of a kernel without huge pages
            sample.madvise(mmap.MADV_NOHUGEPAGE)
        sample.write(bytes(_SAMPLE))
        return measure(ctypes.addressof(ctypes.c_char.from_buffer(sample)))


def _scan_own(sample: int) -> float:
    """Return how long an entry of the sample took, in ns. Raises OutOfReachError as _scan()."""
    fd = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        began = time.perf_counter_ns()
        _scan(fd, sample, sample + _SAMPLE, lambda call: call())
        return (time.perf_counter_ns() - began) * PAGE_SIZE / _SAMPLE
    finally:
        os.close(fd)


def _walk_own() -> float:
    """Return how long a page of our own took, in ns."""
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
        place: Directory of /proc by which the process is reached.
        max_hold: Seconds for which a lock of the process may be held at most.

    Raises:
        OutOfReachError: The kernel does not tell.
        OSError: pagemap may not be read; ETIMEDOUT if there is no time left.
    """
    pagemap = f"{place}/pagemap"
    fd = os.open(pagemap, os.O_RDONLY | os.O_CLOEXEC)
    try:
        at, last, size = entry.start, None, _slice(place, max_hold)
        while at < entry.end <= KERNEL_HALF:
            check_time(pagemap)
            found, at = _scan(fd, at, min(entry.end, at + size), gently)
            for start, end in found:
                if last and last[1] == start:
                    start = last[0]
                elif last:
                    yield last
                last = start, end
        if last:
            yield last
    finally:
        os.close(fd)


def _slice(place: str, max_hold: float) -> int:
    """Return how many bytes of addresses one call may walk: all, if there is little in them."""
    most = max_hold * 1e9 / _entry_ns()
    entries = _sizes(place)["VmPTE"] // _ENTRY
    return KERNEL_HALF if entries <= most else max(int(most), _TABLE) * PAGE_SIZE


def _scan(
    fd: int, start: int, end: int, make: Callable[[Callable[[], int]], int]
) -> tuple[list[tuple[int, int]], int]:
    """Return the guard ranges from start on, and where the walk ended. Raises OutOfReachError."""
    regions = array("B", bytes(REGION_SIZE * _REGIONS))
    question = PmScanArg(
        start,
        end,
        category_mask=PAGE_IS_GUARD,
        return_mask=PAGE_IS_GUARD,
        vec=regions.buffer_info()[0],
        vec_len=_REGIONS,
    )
    answer = bytearray(question.pack())
    try:
        count = make(partial(ioctl, fd, PAGEMAP_SCAN, answer))
    except OSError as error:
        raise OutOfReachError(
            f"this kernel does not tell (since 6.15): {describe(error)}"
        ) from error
    found = PageRegion.unpack_all(regions.tobytes()[: count * REGION_SIZE])
    return [(region.start, region.end) for region in found], PmScanArg.unpack(answer).walk_end
