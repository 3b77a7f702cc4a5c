"""Take advice that changes the pages of a part of one VMA, but no VMA.

Every function needs a stable VMA: mmap_lock held or, where madvise.py allows it, read-locked.
Compare mm/madvise.c:madvise_dontneed_single_vma(), madvise_remove(), madvise_guard_install();
mm/khugepaged.c:madvise_collapse().
"""

import errno
from collections.abc import Callable

from untorn.errors import os_error
from untorn.maps.page import PAGE_SHIFT, PMD_SIZE
from untorn.mm.hugetlb import HugeInode
from untorn.mm.mm_types import Vma, vma_is_anonymous, vma_kernel_pagesize
from untorn.mm.mman import (
    MADV_COLD,
    MADV_COLLAPSE,
    MADV_DONTNEED,
    MADV_DONTNEED_LOCKED,
    MADV_FREE,
    MADV_GUARD_INSTALL,
    MADV_GUARD_REMOVE,
    MADV_PAGEOUT,
    MADV_REMOVE,
    MADV_WILLNEED,
    VM_HUGETLB,
    VM_MAYBE_GUARD,
)
from untorn.mm.pages.hugetlb_fault import free_huge_pages, unmap_huge_pages
from untorn.mm.pages.memory import prepare_anon_vma
from untorn.mm.pages.pte_range import free_lazily, install_guards, page_out, remove_guards
from untorn.mm.vmas.hugetlb_reserve import huge_index
from untorn.mm.vmas.vm_area import vma_set_atomic_flag
from untorn.releases.changes import COLLAPSE_OF_NONE, GUARD_FLAG


def _nothing(vma: Vma, start: int, end: int) -> None:
    """Do nothing: there is no swap to read ahead from, and pages do not age."""


def _discard(vma: Vma, start: int, end: int) -> None:
    """Discard pages, but keep guards. Only whole huge pages go. The VMA's own lock is enough."""
    if vma.vm_flags & VM_HUGETLB:
        end -= end % vma_kernel_pagesize(vma)
        free_huge_pages(vma, unmap_huge_pages(vma, start, end))
        return
    vma.vm_mm.page_table.clear(start, end, guards=False)


def _remove(vma: Vma, start: int, end: int) -> None:
    """Punch a hole into the file, for all processes that map it.

    Raises:
        OSError: ETXTBSY if it is in use as swap space.
    """
    file = vma.vm_file
    assert file is not None, "check_advice() has checked it"
    if file.swapfile:
        raise os_error(errno.ETXTBSY)
    # The page numbers in the file are computed while vma is stable. The pages are unmapped from
    # every process, under the lock of each page table.
    if file.huge is not None:
        _remove_huge(vma, file.huge, start, end)
        return
    first = vma.vm_pgoff + (start - vma.vm_start >> PAGE_SHIFT)
    file.mapping.punch_hole(first, first + (end - start >> PAGE_SHIFT))


def _remove_huge(vma: Vma, inode: HugeInode, start: int, end: int) -> None:
    """Punch the hole into a file of huge pages. Only whole huge pages of the range go."""
    page_size = inode.pool.page_size
    inode.punch_hole(huge_index(vma, start + -start % page_size), huge_index(vma, end))


def _install_guards(vma: Vma, start: int, end: int) -> None:
    """Make every access fail. VM_MAYBE_GUARD, or before it an anon_vma, makes fork copy guards.

    Preconditions: mmap_lock held; the VMA's read lock is enough if it has an anon_vma or needs
        none.
    """
    flagged = vma.vm_mm.release.has(GUARD_FLAG)
    if flagged:
        vma_set_atomic_flag(vma, VM_MAYBE_GUARD)
    if not flagged or vma_is_anonymous(vma):
        prepare_anon_vma(vma.vm_mm, vma)
    install_guards(vma, start, end)


def _collapse(vma: Vma, start: int, end: int) -> None:
    """Fail to collapse the pages of the range: there is never a free huge page.

    Raises:
        OSError: ENOMEM if there are pages to collapse, EINVAL if not. Before COLLAPSE_OF_NONE
            also EINVAL if the range contains no whole huge page.
    """
    first, last = start + -start % PMD_SIZE, end & -PMD_SIZE
    if first == last or (first > last and vma.vm_mm.release.has(COLLAPSE_OF_NONE)):
        return
    mapped = any(not part.is_empty for part in vma.vm_mm.page_table.parts(first, last))
    if first < last and (mapped or not vma_is_anonymous(vma)):
        raise os_error(errno.ENOMEM)
    raise os_error(errno.EINVAL)


ADVICE_PAGES: dict[int, Callable[[Vma, int, int], None]] = {
    MADV_WILLNEED: _nothing,
    MADV_COLD: _nothing,
    MADV_DONTNEED: _discard,
    MADV_DONTNEED_LOCKED: _discard,
    MADV_FREE: free_lazily,
    MADV_PAGEOUT: page_out,
    MADV_REMOVE: _remove,
    MADV_GUARD_INSTALL: _install_guards,
    MADV_GUARD_REMOVE: remove_guards,
    MADV_COLLAPSE: _collapse,
}
"""The function for each advice. It takes a VMA that allows the advice, and two byte addresses."""
