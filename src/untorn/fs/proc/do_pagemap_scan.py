"""PAGEMAP_SCAN of an engine process: find the ranges of pages that have certain properties.

The engine has no userfaultfd. So no VMA has asynchronous write protection, and all present pages
count as written, or, since Linux 7.3, none does. Compare fs/proc/task_mmu.c:do_pagemap_scan(),
pagemap_scan_output().
"""

import errno
from dataclasses import dataclass, field
from itertools import groupby

from untorn.errors import os_error
from untorn.fs.proc.pagemap_entries import pagemap_entries, refuse_huge_pages
from untorn.fs.user_memory import UserMemory
from untorn.maps.page import PAGE_SHIFT, PMD_SIZE, TASK_SIZE, ULONG_MAX, page_align, page_aligned
from untorn.maps.pagemap import (
    ARG_SIZE,
    PAGE_IS_ACCESSED,
    PAGE_IS_FILE,
    PAGE_IS_GUARD,
    PAGE_IS_PFNZERO,
    PAGE_IS_PRESENT,
    PAGE_IS_SWAPPED,
    PAGE_IS_WRITTEN,
    PM_FILE,
    PM_GUARD_REGION,
    PM_PFRAME_MASK,
    PM_PRESENT,
    PM_SCAN_CHECK_WPASYNC,
    PM_SCAN_WP_MATCHING,
    PM_SWAP,
    REGION_SIZE,
    VALID_CATEGORIES,
    VALID_SCAN_FLAGS,
    WALK_END_OFFSET,
    PageRegion,
    PmScanArg,
)
from untorn.mm.mem_map import ZERO_PFN
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mman import VM_PFNMAP
from untorn.mm.mmap_lock import mmap_read_lock_killable, mmap_read_unlock
from untorn.mm.vmas.driver import refuse_drivers
from untorn.releases.changes import SCAN_ACCESSED, SCAN_GUARDS
from untorn.releases.release import Release

_HOLD_REGIONS = PMD_SIZE >> PAGE_SHIFT
"""How many regions a scan may find before it drops mmap_lock."""


def do_pagemap_scan(mm: MmStruct, memory: UserMemory, arg: int) -> int:
    """Answer the struct pm_scan_arg at arg. Return how many regions were written.

    If the other fields are valid, walk_end is always written, even on failure.

    Args:
        mm: The address space, which need not have users.
        memory: The caller's memory.
        arg: Byte address of the struct.

    Raises:
        OSError: EFAULT if the struct, the buffer or the range is not in user space; EINVAL for
            invalid fields; EPERM if PM_SCAN_CHECK_WPASYNC is set and there is a VMA; EINTR if the
            task is killed while it waits for mmap_lock.
        NotModelledError: The range has a driver's mapping, whose resident pages are unknown, or a
            huge page of hugetlbfs.

    Context: takes mmap_lock for read, until all is scanned or 512 regions were found.
    """
    scan = PagemapScan(_get_args(mm, PmScanArg.unpack(memory.copy_from_user(arg, ARG_SIZE))))
    reported, start, stopped = 0, scan.arg.start, True
    try:
        while stopped and start < scan.arg.end and not scan.is_enough(reported):
            mmap_read_lock_killable(mm)
            try:
                stopped = not scan.walk(mm, start, min(_HOLD_REGIONS, scan.arg.vec_len - reported))
            finally:
                mmap_read_unlock(mm)
            # Write without the lock, because the caller's memory may fault.
            text = b"".join(region.pack() for region in scan.regions)
            memory.copy_to_user(scan.arg.vec + reported * REGION_SIZE, text)
            reported += len(scan.regions)
            start = scan.walk_end
        return reported
    finally:
        walk_end = scan.walk_end or scan.arg.end
        memory.copy_to_user(arg + WALK_END_OFFSET, walk_end.to_bytes(8, "little"))


def _get_args(mm: MmStruct, arg: PmScanArg) -> PmScanArg:
    """Check the fields. Return them with end page-aligned and max_pages never 0."""
    user_end = max(mm.task_size, TASK_SIZE)  # of the caller, which is assumed to have 64 bits
    masks = arg.category_mask | arg.category_anyof_mask | arg.category_inverted | arg.return_mask
    if arg.size != ARG_SIZE or arg.flags & ~VALID_SCAN_FLAGS or masks & ~_known(mm.release):
        raise os_error(errno.EINVAL)
    if not page_aligned(arg.start):
        raise os_error(errno.EINVAL)
    if not arg.start <= arg.end <= user_end:
        raise os_error(errno.EFAULT)
    if arg.vec_len and not arg.vec:
        raise os_error(errno.EINVAL)
    if arg.vec and arg.vec + arg.vec_len * REGION_SIZE > user_end:
        raise os_error(errno.EFAULT)
    return arg._replace(end=page_align(arg.end), max_pages=arg.max_pages or ULONG_MAX)


def _known(release: Release) -> int:
    """Return the PAGE_IS_* bits that the release knows."""
    since = {PAGE_IS_GUARD: SCAN_GUARDS, PAGE_IS_ACCESSED: SCAN_ACCESSED}
    later = sum(bit for bit, change in since.items() if release.has(change))
    return VALID_CATEGORIES & ~PAGE_IS_GUARD | later


@dataclass(slots=True)
class PagemapScan:
    """One scan, owned by the task that makes it. Compare struct pagemap_scan_private.

    Attributes:
        arg: The arguments of the ioctl.
        regions: The regions found under the current hold of mmap_lock.
        room: How many more regions this hold may find.
        found_pages: How many pages all regions have, including those of earlier holds.
        walk_end: Byte address where the last hold that ran out of room ended; 0 if there was none.
            As in Linux, a later hold that reaches the end of the range does not change it.
    """

    arg: PmScanArg
    regions: list[PageRegion] = field(default_factory=list)
    room: int = 0
    found_pages: int = 0
    walk_end: int = 0

    def is_enough(self, reported: int) -> bool:
        """Return whether the scan has reported as many regions or pages as were asked for."""
        full = reported == self.arg.vec_len or self.found_pages == self.arg.max_pages
        return bool(reported) and full

    def walk(self, mm: MmStruct, start: int, room: int) -> bool:
        """Scan from byte address start on. Return whether the scan reached the end of the range.

        Preconditions: mmap_lock held.

        Raises:
            OSError: EPERM if PM_SCAN_CHECK_WPASYNC is set and there is a VMA.
            NotModelledError: As do_pagemap_scan().
        """
        self.regions, self.room, end = [], room, self.arg.end
        refuse_drivers(mm, start, end, "PAGEMAP_SCAN", past_holes=True)
        vma = mm.find_vma(start)
        while vma is not None and vma.vm_start < end:
            if self.arg.flags & PM_SCAN_CHECK_WPASYNC:
                raise os_error(errno.EPERM)
            if not self._walk_vma(vma, max(start, vma.vm_start), min(end, vma.vm_end)):
                return False
            vma = mm.find_vma(vma.vm_end)
        return True

    def _walk_vma(self, vma: Vma, start: int, end: int) -> bool:
        if self.arg.flags & PM_SCAN_WP_MATCHING or vma.vm_flags & VM_PFNMAP:
            return True
        refuse_huge_pages(vma, start, end, "PAGEMAP_SCAN")
        page_table = vma.vm_mm.page_table
        unreported = PAGE_IS_WRITTEN if vma.vm_mm.release.has(SCAN_ACCESSED) else 0
        for part in page_table.parts(start, end):
            with page_table.lock:
                entries = pagemap_entries(part, frames=False)
            if not self._output(start, part.addr, 0):
                return False
            start = part.addr
            for categories, pages in groupby(map(_categories, entries)):
                first, start = start, start + (sum(1 for _ in pages) << PAGE_SHIFT)
                if not self._output(first, start, categories & ~unreported):
                    return False
        return self._output(start, end, 0)

    def _output(self, start: int, end: int, categories: int) -> bool:
        """Report pages of the same categories if wanted. Return whether all of them had room."""
        if start == end or not self.arg.vec_len or not self._is_interesting(categories):
            return True
        categories &= self.arg.return_mask
        most = start + (self.arg.max_pages - self.found_pages << PAGE_SHIFT)
        new_end = self._push_range(start, min(end, most), categories)
        self.found_pages += new_end - start >> PAGE_SHIFT
        if new_end < end:
            self.walk_end = new_end
        return new_end == end

    def _is_interesting(self, categories: int) -> bool:
        arg = self.arg
        categories ^= arg.category_inverted
        has_all = categories & arg.category_mask == arg.category_mask
        return has_all and (not arg.category_anyof_mask or categories & arg.category_anyof_mask > 0)

    def _push_range(self, start: int, end: int, categories: int) -> int:
        """Add a range to the regions. Return its end, or start if there is no room."""
        last = self.regions[-1] if self.regions else None
        if start == end:
            return start
        if last is not None and (last.end, last.categories) == (start, categories):
            self.regions[-1] = last._replace(end=end)
            return end
        if self.room == 0:
            return start
        self.regions.append(PageRegion(start, end, categories))
        self.room -= 1
        return end


def _categories(entry: int) -> int:
    """Return the PAGE_IS_* bits of a pagemap entry; 0 if there is no page."""
    categories = 0
    if entry & PM_PRESENT:
        categories |= PAGE_IS_PRESENT | PAGE_IS_WRITTEN
    if entry & PM_SWAP:
        categories |= PAGE_IS_SWAPPED | PAGE_IS_WRITTEN
    if entry & PM_FILE:
        categories |= PAGE_IS_FILE
    if entry & PM_GUARD_REGION:
        categories |= PAGE_IS_GUARD
    if entry & PM_PRESENT and entry & PM_PFRAME_MASK == ZERO_PFN:
        categories |= PAGE_IS_PFNZERO
    return categories
