"""Fault in whole ranges before they are accessed. Compare mm/gup.c."""

import errno

from untorn.errors import os_error
from untorn.maps.page import PAGE_SHIFT, page_align
from untorn.mm.mm_types import MmStruct, Vma, vma_is_anonymous
from untorn.mm.mman import (
    VM_ACCESS_FLAGS,
    VM_HUGETLB,
    VM_IO,
    VM_LOCKONFAULT,
    VM_PFNMAP,
    VM_READ,
    VM_SHARED,
    VM_WRITE,
)
from untorn.mm.mmap_lock import mmap_read_lock_killable, mmap_read_unlock
from untorn.mm.pages.hugetlb_fault import hugetlb_fault
from untorn.mm.pages.memory import anon_vma_of
from untorn.mm.pages.pte_fault import fault_around, fault_in


def mm_populate(mm: MmStruct, start: int, end: int, *, past_errors: bool = False) -> bool:
    """Fault in all pages of [start, end). Return whether that succeeded.

    A writable private mapping is faulted in for writing, so that it gets its own pages. VMAs with
    VM_LOCKONFAULT, VM_IO or VM_PFNMAP are left out. After a failure the call ends, or goes on with
    the next VMA if past_errors.

    Raises:
        OSError: EINTR if the task is killed while it waits for mmap_lock.

    Compare mm/gup.c:__mm_populate().
    """
    # The lock is dropped after each VMA, so that a writer waits for one of them at most. It is
    # first taken after the system call's own section has ended. So the mappings may change at any
    # time: look up each VMA by address, and skip holes.
    complete = True
    while start < end and (complete or past_errors):
        mmap_read_lock_killable(mm)
        try:
            vma = mm.find_vma(start)
            if vma is None or vma.vm_start >= end:
                break
            start = max(start, vma.vm_start)
            complete = populate_vma_page_range(mm, vma, start, min(vma.vm_end, end)) and complete
            start = vma.vm_end
        finally:
            mmap_read_unlock(mm)
    return complete


def populate_vma_page_range(mm: MmStruct, vma: Vma, start: int, end: int) -> bool:
    """Fault in the pages of [start, end) of vma. Return whether that succeeded.

    Preconditions: mmap_lock held. Compare mm/gup.c:populate_vma_page_range().
    """
    if vma.vm_flags & (VM_LOCKONFAULT | VM_IO | VM_PFNMAP):
        return True
    if not vma.vm_flags & VM_ACCESS_FLAGS:
        return False
    # This must come first: fault_in() needs the anon_vma for anonymous pages.
    anon_vma_of(mm, vma, start, end, vma.vm_flags & VM_WRITE)
    write = vma.vm_flags & (VM_WRITE | VM_SHARED) == VM_WRITE
    return _fault_in_file(vma, start, end, write=write)


def faultin_page_range(vma: Vma, start: int, end: int, *, write: bool) -> None:
    """Fault in all pages of [start, end) of vma, as if each was read or written.

    Preconditions: mmap_lock held.

    Raises:
        OSError: EINVAL if vma forbids the access or is VM_IO or VM_PFNMAP; EFAULT for a guard or a
            page beyond the end of a file, after the pages before it were faulted in.

    Compare mm/gup.c:faultin_page_range().
    """
    needed = VM_WRITE if write else VM_READ
    if not vma.vm_flags & needed or vma.vm_flags & (VM_IO | VM_PFNMAP):
        raise os_error(errno.EINVAL)
    anon_vma_of(vma.vm_mm, vma, start, end, needed)
    if not _fault_in_file(vma, start, end, write=write, by_kernel=True):
        raise os_error(errno.EFAULT)


def _fault_in_file(vma: Vma, start: int, end: int, *, write: bool, by_kernel: bool = False) -> bool:
    """Fault in [start, end) of vma, up to the end of its file if it has one; see fault_in()."""
    if vma.vm_flags & VM_HUGETLB:
        return hugetlb_fault(vma, start, end, write=write)
    # The VMA may have pages beyond the end of the file, which cannot be accessed.
    file_end = _end_of_file(vma)
    if not fault_in(vma, start, min(end, file_end), write=write, by_kernel=by_kernel):
        return False
    if file_end >= end:
        return True
    if not write:
        fault_around(vma, max(start, file_end))
    return False


def _end_of_file(vma: Vma) -> int:
    """Return the byte address where vma's file ends. It may be beyond the end of vma."""
    if vma.vm_file is None or vma_is_anonymous(vma):
        return vma.vm_end
    return vma.vm_start + page_align(vma.vm_file.size) - (vma.vm_pgoff << PAGE_SHIFT)
