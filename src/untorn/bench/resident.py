"""Memory that a process keeps beside what it maps and unmaps: one VMA, every page of it resident.

A walk of its page tables is one hold of a lock.
"""

import errno
import re
from pathlib import Path

from untorn.errors import OutOfReachError
from untorn.maps.page import PMD_SIZE
from untorn.mm.mman import (
    MADV_HUGEPAGE,
    MADV_NOHUGEPAGE,
    MADV_POPULATE_WRITE,
    MAP_ANONYMOUS,
    MAP_PRIVATE,
    PROT_READ,
    PROT_WRITE,
)
from untorn.processes.process_under_test import ProcessUnderTest

_AVAILABLE = re.compile(r"^MemAvailable: +(\d+) kB$", re.MULTILINE)
_HUGE = re.compile(r"^AnonHugePages: +(\d+) kB$", re.MULTILINE)


def make_resident(process: ProcessUnderTest, size: int, *, huge: bool = False) -> None:
    """Map size bytes in one VMA and make every page resident, all in huge pages or in none.

    Raises:
        OSError: ENOMEM if there is too little memory; EINVAL before Linux 5.14, or if huge pages
            are asked for and this kernel has none.
    """
    # A huge page starts at a multiple of its size, but the mapping may start elsewhere.
    room = size + (PMD_SIZE if huge else 0)
    addr = process.mmap(0, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS)
    start = -(-addr // PMD_SIZE) * PMD_SIZE if huge else addr
    if addr < start:
        process.munmap(addr, start - addr)
    if start + size < addr + room:
        process.munmap(start + size, addr + room - start - size)
    if huge:
        process.madvise(start, size, MADV_HUGEPAGE)
    else:
        forbid_huge(process, start, size)
    process.madvise(start, size, MADV_POPULATE_WRITE)


def forbid_huge(process: ProcessUnderTest, start: int, size: int) -> None:
    """Keep a range in pages of 4 KiB; a kernel without huge pages does so anyway."""
    try:
        process.madvise(start, size, MADV_NOHUGEPAGE)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def check_available(size: int) -> None:
    """Raise OutOfReachError if this machine has fewer bytes available."""
    match = _AVAILABLE.search(Path("/proc/meminfo").read_text())
    available = int(match[1]) << 10 if match else size
    if size > available:
        raise OutOfReachError(
            f"{size >> 20} MiB of resident memory: this machine has {available >> 20} MiB to give"
        )


def check_huge(size: int) -> None:
    """Raise OutOfReachError if this process has fewer bytes in huge pages."""
    match = _HUGE.search(Path("/proc/self/smaps_rollup").read_text())
    huge = int(match[1]) << 10 if match else 0
    if huge < size:
        raise OutOfReachError(
            f"{size >> 20} MiB in huge pages: this machine gave {huge >> 20} MiB in such"
        )
