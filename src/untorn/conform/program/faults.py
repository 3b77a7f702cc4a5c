"""Repeat in the engine what page faults of a traced program did: own pages, grown stacks.

Only what later calls depend on: whether a VMA has an anon_vma, and where it begins.
"""

import errno
import os
import re
from array import array
from contextlib import suppress
from fcntl import ioctl

from untorn.maps.entry import MapsEntry
from untorn.maps.pagemap import (
    PAGE_IS_FILE,
    PAGE_IS_GUARD,
    PAGE_IS_PFNZERO,
    PAGE_IS_PRESENT,
    PAGE_IS_SWAPPED,
    PAGEMAP_SCAN,
    REGION_SIZE,
    PageRegion,
    PmScanArg,
)
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mman import VM_GROWSDOWN
from untorn.syscalls import Process

_OTHERS = PAGE_IS_FILE | PAGE_IS_PFNZERO


class OwnPages:
    """Finds pages that a process has written in private memory, in its open pagemap."""

    def __init__(self, pid: int) -> None:
        """Open it. Raises OSError as open(2)."""
        self._fd = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        self._vec = array("B", bytes(REGION_SIZE))
        self._others = _OTHERS | PAGE_IS_GUARD
        try:
            self.first(0, 0)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._others = _OTHERS  # before Linux 6.16

    def first(self, start: int, end: int) -> int | None:
        """Return the byte address of the first one in a range of byte addresses, if there is one.

        Raises:
            OSError: ENOTTY before Linux 6.7.
        """
        question = PmScanArg(
            *(start, end, self._others, PAGE_IS_PRESENT | PAGE_IS_SWAPPED, 0, self._others),
            max_pages=1,
            vec_len=1,
            vec=self._vec.buffer_info()[0],
        )
        found = ioctl(self._fd, PAGEMAP_SCAN, bytearray(question.pack()))
        return PageRegion.unpack_all(self._vec.tobytes())[0].start if found else None

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)


def fault_in(process: Process, writable: list[Vma], pages: OwnPages) -> list[int]:
    """Write a page in each VMA in which the program has now written one; return byte addresses.

    Args:
        process: The engine's process.
        writable: VMAs that may get pages of their own.
        pages: Finds what the program has written.
    """
    written = []
    for vma in writable:
        if vma.anon_vma is None:
            addr = pages.first(vma.vm_start, vma.vm_end)
            if addr is not None:
                process.touch(addr, write=True)
                written.append(addr)
    return written


def follow_stacks(process: Process, text: bytes) -> list[int]:
    """Grow stacks down to where they begin in the kernel's maps; return the written addresses."""
    written = []
    starts = {
        int(end, 16): int(start, 16) for start, end in re.findall(rb"^(\w+)-(\w+)", text, re.M)
    }
    stacks = [vma for _, _, vma in process.mm.mm_mt if vma.vm_flags & VM_GROWSDOWN]
    for old, end in [(vma.vm_start, vma.vm_end) for vma in stacks]:
        start = starts.get(end, old)
        if start < old:
            with suppress(OSError):  # something else is there: then the maps differ
                process.touch(start, write=True)
                written.append(start)
    return written


def follow_names(mm: MmStruct, text: bytes) -> None:
    """Give files their names in the kernel's maps, as one may have been deleted."""
    names = {entry.start: entry for entry in map(MapsEntry.parse, text.splitlines(keepends=True))}
    for _, _, vma in mm.mm_mt:
        entry, file = names.get(vma.vm_start), vma.vm_file
        if file is not None and entry is not None and entry.inode == file.inode:
            file.path = file.path if vma.anon_name else entry.name
