"""Say which pages of a range are in memory. Compare mm/mincore.c."""

import errno

from untorn.errors import os_error
from untorn.maps.page import PAGE_SHIFT, PAGE_SIZE, TASK_SIZE, page_align
from untorn.mm.file import VmFile
from untorn.mm.mm_types import MmStruct, Vma, vma_is_anonymous, vma_kernel_pagesize
from untorn.mm.mman import VM_HUGETLB, VM_WRITE
from untorn.mm.mmap_lock import mmap_read_lock, mmap_read_unlock
from untorn.mm.page_table import GUARD, NONE
from untorn.mm.pages.memory import handle_mm_fault
from untorn.mm.vmas.driver import refuse_driver


def do_mincore(mm: MmStruct, start: int, length: int, vec: int) -> list[bool]:
    """Return for each page of [start, start + length) whether it is in memory.

    A page of a file is in memory if it is cached, whether or not it is mapped here. This assumes
    that the process may write to the file; otherwise Linux reports all pages as in memory.

    Args:
        mm: The address space; its mmap_lock is taken for read, for at most one VMA at a time.
        start: Byte address.
        length: Bytes, rounded up to whole pages.
        vec: Byte address where Linux writes a byte for each page, so the pages there are faulted
            in.

    Raises:
        OSError: EINVAL if start is not aligned; ENOMEM if the range leaves the address space or
            has holes; EFAULT if vec cannot be written to. Earlier pages of vec are faulted in then.
        NotModelledError: The range reaches a driver's mapping; see driver.py.

    Source: mincore(2); mm/mincore.c.
    """
    if start % PAGE_SIZE:
        raise os_error(errno.EINVAL)
    # The machine's limit, which also applies to a 32-bit process. Compare access_ok().
    task_size_max = max(TASK_SIZE, mm.task_size)
    if start + length > task_size_max:
        raise os_error(errno.ENOMEM)
    pages = page_align(length) >> PAGE_SHIFT
    if vec + pages > task_size_max:
        raise os_error(errno.EFAULT)
    found: list[bool] = []
    while len(found) < pages:
        done = len(found)
        at_most = min(pages - done, PAGE_SIZE)  # Linux's buffer for the answers is one page
        found += _mincore_vma(mm, start + (done << PAGE_SHIFT), at_most)
        for page in range(vec + done & -PAGE_SIZE, vec + len(found), PAGE_SIZE):
            handle_mm_fault(mm, page, VM_WRITE)
    return found


def _mincore_vma(mm: MmStruct, start: int, pages: int) -> list[bool]:
    """Return the answers for at most this many pages from byte address start on, in one VMA."""
    mmap_read_lock(mm)
    try:
        vma = mm.find_vma(start)
        if vma is None or vma.vm_start > start:
            raise os_error(errno.ENOMEM)
        refuse_driver(vma, "mincore")
        end = min(vma.vm_end, start + (pages << PAGE_SHIFT))
        if not vma_is_anonymous(vma) and vma.vm_file is None:
            # For a special mapping of the kernel, Linux reports all pages as in memory.
            return [True] * (end - start >> PAGE_SHIFT)
        return _mincore_range(vma, start, end)
    finally:
        mmap_read_unlock(mm)


def _mincore_range(vma: Vma, start: int, end: int) -> list[bool]:
    """Preconditions: mmap_lock held; [start, end) is in vma."""
    if vma.vm_flags & VM_HUGETLB:
        return _mincore_hugetlb(vma, start, end)
    page_table = vma.vm_mm.page_table
    found = [False] * (end - start >> PAGE_SHIFT)
    for part in page_table.parts(start, end):
        with page_table.lock:
            ptes = part.table.ptes[part.first : part.last]
        at = part.addr - start >> PAGE_SHIFT
        found[at : at + len(ptes)] = [pte not in (NONE, GUARD) for pte in ptes]
    if vma.vm_file is None:
        return found
    first = vma.vm_pgoff + (start - vma.vm_start >> PAGE_SHIFT)
    return [here or _is_cached(vma.vm_file, first + at) for at, here in enumerate(found)]


def _mincore_hugetlb(vma: Vma, start: int, end: int) -> list[bool]:
    """Return whether the huge pages are mapped here. Preconditions: as _mincore_range()."""
    page_size, page_table = vma_kernel_pagesize(vma), vma.vm_mm.page_table
    with page_table.lock:
        return [addr & -page_size in page_table.huge for addr in range(start, end, PAGE_SIZE)]


def _is_cached(file: VmFile, index: int) -> bool:
    """Return whether page number index of a file is in the page cache. /dev/zero has none."""
    within = index << PAGE_SHIFT < file.size
    return within and not file.is_zero and file.mapping.is_cached(index)
