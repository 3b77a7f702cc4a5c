"""/proc/PID/pagemap of an engine process: an entry for each page, present or not.

mmap_lock is held for one page table at a time. So a writer waits for 512 entries at most, and two
slices of one read() may be of different states. Compare fs/proc/task_mmu.c:pagemap_read(),
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
    """An open file. Several tasks may use it at once.

    It stays with the mm that the process had when it was opened, and shows frames if the opener
    had the right to see them then.
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
            OSError: EINVAL if offset or size is negative or no multiple of 8; EINTR if the task is
                killed while it waits for mmap_lock, whatever was read before.
            NotModelledError: As pagemap_slice(): what a driver has resident is not known.

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
        """Answer an ioctl with the caller's memory; for its value and errors see do_pagemap_scan().

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
        """Answer a PAGEMAP_SCAN, in memory made for it; see PagemapFile."""
        memory = FlatMemory(ARG_SIZE + question.vec_len * REGION_SIZE)
        vec = memory.base + ARG_SIZE
        memory.copy_to_user(memory.base, question._replace(vec=vec).pack())
        count = self.ioctl(PAGEMAP_SCAN, memory, memory.base)
        answer = PmScanArg.unpack(memory.copy_from_user(memory.base, ARG_SIZE))
        regions = PageRegion.unpack_all(memory.copy_from_user(vec, count * REGION_SIZE))
        return PageScan(regions, answer.walk_end)

    def close(self) -> None:
        """Let go of the mm; the file must not be used afterwards."""
        mm, self._mm = self._mm, None
        if mm is not None:
            mmdrop(mm)


def pagemap_slice(mm: MmStruct, start: int, end: int, *, frames: bool) -> bytes:
    """Return the entries of [start, end), byte addresses below one PMD.

    Preconditions: mmap_lock held.

    Raises:
        NotModelledError: A driver's mapping, or a huge page of hugetlbfs, is there.
    """
    refuse_drivers(mm, start, end, "pagemap", past_holes=True)
    page_table = mm.page_table
    entries = [0] * (end - start >> PAGE_SHIFT)
    # Only what lies in VMAs is shown: munmap frees pages after it has taken theirs out of the tree.
    vma = mm.find_vma(start)
    while vma is not None and vma.vm_start < end:
        # What is looked at stays mapped, as mmap_lock is held. Faults and advice go on, so each
        # table is of one moment, that of this section of its lock.
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
