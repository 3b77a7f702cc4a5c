"""What the kernel tells of a VMA beyond its line: flags, protection key, guards, whose stack.

Flags and key stand in smaps alone, which walks the page tables of one VMA after the other and
holds a lock of the process meanwhile. So it is read only if all that the process has could be
walked within the longest hold that is allowed: see walk_ns().

Source: proc_pid_smaps(5), proc_pid_status(5), proc_pid_syscall(5); PAGEMAP_SCAN in
Documentation/admin-guide/mm/pagemap.rst.
"""

import errno
import mmap
import os
import re
import struct
import time
from array import array
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fcntl import ioctl
from functools import cache, partial
from pathlib import Path

from untorn.errors import OutOfReach, describe
from untorn.fs.proc.maps_entry import MapsEntry
from untorn.live.gentle import gently, open_maps_file
from untorn.live.maps_file import LiveMapsFile
from untorn.live.reader.fills import FILL_SIZE
from untorn.live.reader.lookup import KERNEL_HALF
from untorn.live.task import living_threads, place_of
from untorn.mm.page import PAGE_SIZE

_PAGEMAP_SCAN, _PAGE_IS_GUARD = 0xC0606610, 1 << 8
_SCAN = struct.Struct("=12Q")
_WALK_END_AT, _REGION = 32, struct.Struct("=3Q")
_REGIONS = 512
_SLICE = 1 << 25
"""Bytes of address space that one PAGEMAP_SCAN walks: 8,192 entries of page tables."""
_SAMPLE, _WALKS = 2048 * PAGE_SIZE, 10
_UNKNOWN_NS = 1000.0
"""For a page, where it cannot be measured: more than any machine needs."""


@dataclass(frozen=True, slots=True)
class Details:
    """What is None is absent; `absent` says why, by the field's name."""

    flags: tuple[str, ...] | None = None
    """The two letters of each flag, as smaps has them: "dd" is VM_DONTDUMP."""
    protection_key: int | None = None
    guards: tuple[tuple[int, int], ...] | None = None
    """Ranges of guard pages (MADV_GUARD_INSTALL), byte addresses, end exclusive."""
    stack_of: tuple[int, ...] | None = None
    """The threads whose stack pointer is in the VMA, as far as they sleep."""
    absent: Mapping[str, str] = field(default_factory=dict)


def details_of(
    entry: MapsEntry,
    pid: int,
    proc: str,
    thread: int | None,
    max_hold: float,
    deadline: float | None,
) -> Details:
    """Return what is told of a VMA.

    Args:
        entry: The VMA.
        pid: The process.
        proc: Where procfs is mounted.
        thread: By which thread to reach it; None for the main one.
        max_hold: Seconds for which a lock of the process may be held at most.
        deadline: When to give up, in seconds of time.monotonic().

    Raises:
        OSError: ETIMEDOUT after the deadline.
    """
    place = place_of(pid, proc, thread)
    absent: dict[str, str] = {}
    flags = key = guards = stack_of = None
    try:
        with open_maps_file(pid, "smaps", proc, thread) as smaps:
            smaps.deadline = deadline
            flags, key = _flags_and_key(smaps, entry, place, max_hold)
    except (OutOfReach, PermissionError, FileNotFoundError, ProcessLookupError) as error:
        absent |= dict.fromkeys(("flags", "protection_key"), describe(error))
    if flags is not None and key is None:
        absent["protection_key"] = "this kernel or this processor has none"
    try:
        guards = tuple(_guards(f"{place}/pagemap", entry, deadline))
    except (OutOfReach, PermissionError, FileNotFoundError, ProcessLookupError) as error:
        absent["guards"] = describe(error)
    try:
        stack_of = tuple(_threads_on(entry, pid, proc))
    except PermissionError:
        absent["stack_of"] = "it takes the right to trace the process"
    return Details(flags, key, guards, stack_of, absent)


def _flags_and_key(
    smaps: LiveMapsFile, entry: MapsEntry, place: str, max_hold: float
) -> tuple[tuple[str, ...] | None, int | None]:
    """Return the flags of a VMA, and its protection key where there are such.

    Raises:
        OutOfReach: It is not there any more, or reading could hold a lock for too long.
        OSError: smaps cannot be read.
    """
    hold = walk_ns(place)
    if hold > max_hold * 1e9:
        raise OutOfReach(
            f"smaps could hold a lock of the process for {hold / 1e6:.1f} ms, "
            f"more than {max_hold * 1e3:g} ms"
        )
    header = b"\n%08x-%08x " % (entry.start, entry.end)
    text = b"\n"
    while fill := smaps.read(FILL_SIZE):
        text += fill
        _, found, record = text.partition(header)
        if found and (flags := re.search(rb"\nVmFlags:([^\n]*)\n", record)):
            key = re.search(rb"\nProtectionKey: *(\d+)\n", record[: flags.start() + 1])
            return tuple(flags[1].decode().split()), int(key[1]) if key else None
        text = text if found else b"\n"
    raise OutOfReach("the VMA changed, or smaps tells no flags of it")


def walk_ns(place: str) -> int:
    """Return about how long it takes to walk the page tables of a whole process, in ns.

    Its pages, by counters that are read without a lock, times what a page takes on this machine.
    """
    status = (Path(place) / "status").read_text()
    kib = dict(re.findall(r"^(VmRSS|VmSwap|HugetlbPages):\s*(\d+) kB$", status, re.M))
    pages = sum(int(kib.get(name, 0)) << 10 for name in ("VmRSS", "VmSwap")) // PAGE_SIZE
    pages += (int(kib.get("HugetlbPages", 0)) << 10) >> 21
    return int(pages * page_ns())


@cache
def page_ns() -> float:
    """Return how long the kernel takes for a page of a walk at most, in ns; measured here.

    It walks all that we have, and pages that are made for it: the time of the fastest walk by the
    number of pages. What a walk takes beside its pages makes that rather more than it is.
    """
    with mmap.mmap(-1, _SAMPLE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as sample:
        with suppress(OSError):  # of a kernel without huge pages
            sample.madvise(mmap.MADV_NOHUGEPAGE)
        sample.write(bytes(_SAMPLE))
        return min(_walk_own() for _ in range(_WALKS))


def _walk_own() -> float:
    """Return how long a page of our own took, in ns."""
    with LiveMapsFile(os.getpid(), "smaps_rollup") as rollup:
        began = time.perf_counter_ns()
        text = rollup.read(FILL_SIZE)
        took = time.perf_counter_ns() - began
    resident = re.search(rb"\nRss: *(\d+) kB", text)
    return took * PAGE_SIZE / (int(resident[1]) << 10) if resident else _UNKNOWN_NS


def _guards(pagemap: str, entry: MapsEntry, deadline: float | None) -> Iterator[tuple[int, int]]:
    """Yield the ranges of guard pages in a VMA. A call walks no more than a slice of it.

    Raises:
        OutOfReach: The kernel does not tell.
        OSError: pagemap may not be read; ETIMEDOUT after the deadline.
    """
    fd = os.open(pagemap, os.O_RDONLY | os.O_CLOEXEC)
    try:
        at, last = entry.start, None
        while at < entry.end <= KERNEL_HALF:
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(errno.ETIMEDOUT, "not read in time", pagemap)
            found, at = _scan(fd, at, min(entry.end, at + _SLICE))
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


def _scan(fd: int, start: int, end: int) -> tuple[list[tuple[int, int]], int]:
    """Return the guard ranges from start on, and where the walk ended. Raises OutOfReach."""
    regions = array("Q", bytes(_REGION.size * _REGIONS))
    where = regions.buffer_info()[0]
    question = bytearray(
        _SCAN.pack(
            *(_SCAN.size, 0, start, end, 0, where, _REGIONS),
            *(0, 0, _PAGE_IS_GUARD, 0, _PAGE_IS_GUARD),
        )
    )
    try:
        count = gently(partial(ioctl, fd, _PAGEMAP_SCAN, question))
    except OSError as error:
        raise OutOfReach(f"this kernel does not tell (since 6.15): {describe(error)}") from error
    walk_end: int = struct.unpack_from("=Q", question, _WALK_END_AT)[0]
    pairs = [_REGION.unpack_from(regions, n * _REGION.size)[:2] for n in range(count)]
    return pairs, walk_end


def _threads_on(entry: MapsEntry, pid: int, proc: str) -> Iterator[int]:
    """Yield the threads whose stack pointer lies in a VMA.

    Raises:
        PermissionError: They may not be looked at.
    """
    for tid, _ in living_threads(pid, proc):
        try:
            words = Path(f"{proc}/{pid}/task/{tid}/syscall").read_bytes().split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # "running" tells nothing; else the last two are stack pointer and program counter.
        if len(words) > 2 and entry.start <= int(words[-2], 16) < entry.end:
            yield tid
