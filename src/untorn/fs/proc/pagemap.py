"""/proc/PID/pagemap of an engine process: an entry for each page, present or not.

mmap_lock is held for one page table at a time. So a writer waits for 512 entries at most, and two
slices of one read() may show different states. Compare fs/proc/task_mmu.c:pagemap_read(),
pagemap_pte_hole().
"""

import errno
import struct
from collections.abc import Iterator

from untorn.errors import os_error
from untorn.fs.proc.base import ProcTask, proc_mem_open
from untorn.fs.proc.do_pagemap_scan import do_pagemap_scan
from untorn.fs.proc.pagemap_entries import pagemap_entries, refuse_huge_pages
from untorn.fs.user_memory import FlatMemory, UserMemory
from untorn.maps.page import PAGE_SHIFT, PMD_SIZE
from untorn.maps.pagemap import (
    ARG_SIZE,
    ENTRY_SIZE,
    PAGEMAP_SCAN,
    PM_GUARD_REGION,
    PM_PFRAME_MASK,
    REGION_SIZE,
    PageRegion,
    PageScan,
    PmScanArg,
)
from untorn.mm.calls.exit import mmput
from untorn.mm.mm_types import MmStruct, mmdrop, mmget_not_zero
from untorn.mm.mman import VM_PFNMAP
from untorn.mm.mmap_lock import mmap_read_lock_killable, mmap_read_unlock
from untorn.mm.vmas.driver import refuse_drivers
from untorn.releases.changes import GUARDS_IN_PAGEMAP, PAGEMAP_SCAN_IOCTL


class ProcPagemap:
    """An open pagemap file. Several tasks may use it at once.

    It keeps the mm that the process had when the file was opened. It shows frames if the opener had
    the right to see them at that time.
    """

    __slots__ = ("_mm", "_shows_frames")

    def __init__(self, task: ProcTask) -> None:
        """Open the file of a process.

        Raises:
            OSError: ENOENT if the process was reaped, EACCES if the opener may not look into it,
                ESRCH if it has no mm.
        """
        self._mm = proc_mem_open(task)
        if self._mm is None:
            raise os_error(errno.ESRCH)
        self._shows_frames = task.cap_sys_admin

    def read_at(self, offset: int, size: int) -> bytes:
        """Return the entries from a byte offset on, at most size bytes; b"" at the end.

        Raises:
            OSError: EINVAL if offset or size is negative or not a multiple of 8; EINTR if the task
                is killed while it waits for mmap_lock, even if some entries were read before.
            NotModelledError: As pagemap_slice().

        Context: takes mmap_lock for read, for one page table at a time.
        """
        mm = self._mm
        # Pairs with the last mmput(), as in task_mmu.py.
        if mm is None or not mmget_not_zero(mm):
            return b""
        try:
            if min(offset, size) < 0 or offset % ENTRY_SIZE or size % ENTRY_SIZE:
                raise os_error(errno.EINVAL)
            start, length = (number // ENTRY_SIZE << PAGE_SHIFT for number in (offset, size))
            return b"".join(self._slices(mm, start, min(start + length, mm.task_size)))
        finally:
            mmput(mm)

    def _slices(self, mm: MmStruct, start: int, end: int) -> Iterator[bytes]:
        while start < end:
            slice_end = min((start & -PMD_SIZE) + PMD_SIZE, end)
            mmap_read_lock_killable(mm)
            try:
                entries = pagemap_slice(mm, start, slice_end, frames=self._shows_frames)
            finally:
                mmap_read_unlock(mm)
            yield entries
            start = slice_end

    def ioctl(self, request: int, memory: UserMemory, arg: int) -> int:
        """Answer an ioctl with the caller's memory. For value and errors see do_pagemap_scan().

        Raises:
            OSError: ENOTTY before Linux 6.7; EINVAL for any request but PAGEMAP_SCAN.
        """
        assert self._mm is not None, "the file is closed"
        if not self._mm.release.has(PAGEMAP_SCAN_IOCTL):
            raise os_error(errno.ENOTTY)
        if request != PAGEMAP_SCAN:
            raise os_error(errno.EINVAL)
        return do_pagemap_scan(self._mm, memory, arg)

    def scan(self, question: PmScanArg) -> PageScan:
        """Answer a PAGEMAP_SCAN, in memory allocated for it; see PagemapFile."""
        memory = FlatMemory(ARG_SIZE + question.vec_len * REGION_SIZE)
        vec = memory.base + ARG_SIZE
        memory.copy_to_user(memory.base, question._replace(vec=vec).pack())
        count = self.ioctl(PAGEMAP_SCAN, memory, memory.base)
        answer = PmScanArg.unpack(memory.copy_from_user(memory.base, ARG_SIZE))
        regions = PageRegion.unpack_all(memory.copy_from_user(vec, count * REGION_SIZE))
        return PageScan(regions, answer.walk_end)

    def close(self) -> None:
        """Release the mm. The file must not be used afterwards."""
        mm, self._mm = self._mm, None
        if mm is not None:
            mmdrop(mm)


def pagemap_slice(mm: MmStruct, start: int, end: int, *, frames: bool) -> bytes:
    """Return the entries of [start, end), byte addresses below one PMD.

    Preconditions: mmap_lock held.

    Raises:
        NotModelledError: The range has a driver's mapping, whose resident pages are unknown, or a
            huge page of hugetlbfs.
    """
    refuse_drivers(mm, start, end, "pagemap", past_holes=True)
    page_table = mm.page_table
    entries = [0] * (end - start >> PAGE_SHIFT)
    # Only pages in VMAs are shown: munmap frees pages after it has taken the VMAs out of the tree.
    vma = mm.find_vma(start)
    while vma is not None and vma.vm_start < end:
        # vma stays mapped while mmap_lock is held. Faults and advice go on, so each table is read
        # under one hold of its lock and shows one moment.
        first, last = max(start, vma.vm_start), min(end, vma.vm_end)
        refuse_huge_pages(vma, first, last, "pagemap")
        for part in page_table.parts(first, last):
            with page_table.lock:
                found = pagemap_entries(part, frames=frames)
            at = part.addr - start >> PAGE_SHIFT
            if not vma.vm_flags & VM_PFNMAP:
                entries[at : at + len(found)] = found
        vma = mm.find_vma(vma.vm_end)
    mask = -1 if frames else ~PM_PFRAME_MASK
    if not mm.release.has(GUARDS_IN_PAGEMAP):
        mask &= ~PM_GUARD_REGION
    return struct.pack(f"<{len(entries)}Q", *(entry & mask for entry in entries))
