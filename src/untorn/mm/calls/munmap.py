"""Unmap a range: split VMAs at its edges, detach those inside, clear it with one store, free them.

Compare mm/vma.c:vms_gather_munmap_vmas(), vms_complete_munmap_vmas(), do_vmi_munmap().
"""

import errno
from dataclasses import dataclass, field

from untorn.errors import os_error
from untorn.maps.page import page_align, page_aligned
from untorn.mm.mm_types import MmStruct, Vma, vma_pages
from untorn.mm.mman import VM_ACCOUNT
from untorn.mm.mmap_lock import (
    mmap_read_unlock,
    mmap_write_downgrade,
    mmap_write_lock_killable,
    mmap_write_unlock,
)
from untorn.mm.pages.hugetlb_fault import close_huge_vmas
from untorn.mm.tree.store import store_range
from untorn.mm.vma_lock import vma_mark_attached, vma_mark_detached, vma_start_write
from untorn.mm.vmas.accounting import vma_account
from untorn.mm.vmas.driver import refuse_cut
from untorn.mm.vmas.modify import split_vma_unlimited
from untorn.mm.vmas.seal import is_sealed, refuse_sealed
from untorn.mm.vmas.vm_area import vm_area_free


@dataclass(slots=True)
class MunmapVmas:
    """The VMAs to unmap: detached, but still in the tree. Compare struct vma_munmap_struct.

    Attributes:
        start, end: Byte addresses of the range that is unmapped or replaced.
        vmas: The VMAs of the range, each completely inside it.
        huge_closed: clean_up_munmap_vmas() was called.
    """

    start: int
    end: int
    vmas: list[Vma] = field(default_factory=list)
    huge_closed: bool = False

    @property
    def pages(self) -> int:
        """How many pages the VMAs have."""
        return sum(vma_pages(vma) for vma in self.vmas)

    @property
    def accounted(self) -> int:
        """How many pages the VMAs with VM_ACCOUNT have."""
        return sum(vma_pages(vma) for vma in self.vmas if vma.vm_flags & VM_ACCOUNT)


def do_munmap(mm: MmStruct, start: int, length: int) -> None:
    """Unmap all VMAs and parts of VMAs in [start, start + length).

    Args:
        mm: The address space; its mmap_lock is taken for write, and downgraded to read while
            the unmapped VMAs are freed.
        start: Byte address, a multiple of the page size.
        length: Bytes, rounded up to whole pages.

    Raises:
        OSError: EINVAL if start is not aligned, length is 0 or the range is not user space;
            ENOMEM if a split would exceed max_map_count; EPERM if a VMA is sealed; EINTR if the
            task is killed while it waits for the lock.
        NotModelledError: The range ends inside a driver's mapping; see driver.py.

    Source: munmap(2); mm/vma.c:do_vmi_munmap().
    """
    end = _end_in_user_space(mm, start, length)
    mmap_write_lock_killable(mm)
    # Until the store that clears the range, a reader that finds a detached VMA in the tree gets
    # BUSY or DETACHED, and ends up waiting for mmap_lock.
    try:
        going = gather_munmap_vmas(mm, start, end)
        clear_munmap_vmas(mm, going)
    except BaseException:
        mmap_write_unlock(mm)
        raise
    # The VMAs are in no tree and have no readers, so only this task can reach them now. Freeing
    # many pages takes time, and readers and faults need not wait for it.
    mmap_write_downgrade(mm)
    # Keep mmap_lock for read, so that no new mapping can appear in the range and lose its pages.
    free_munmap_vmas(mm, going)
    mmap_read_unlock(mm)


def do_munmap_locked(mm: MmStruct, start: int, length: int) -> None:
    """Unmap as do_munmap() does, in a section of the caller.

    Preconditions: mmap_lock held for write.
    """
    going = gather_munmap_vmas(mm, start, _end_in_user_space(mm, start, length))
    clear_munmap_vmas(mm, going)
    free_munmap_vmas(mm, going)


def _end_in_user_space(mm: MmStruct, start: int, length: int) -> int:
    """Return the end of a range that munmap accepts. Raise EINVAL for others."""
    end = _checked_end(start, length)
    if end > mm.task_size:
        raise os_error(errno.EINVAL)
    return end


def _checked_end(start: int, length: int) -> int:
    end = start + page_align(length)
    if not page_aligned(start) or end == start:
        raise os_error(errno.EINVAL)
    return end


def gather_munmap_vmas(mm: MmStruct, start: int, end: int) -> MunmapVmas:
    """Split at start and end. Write-lock and detach every VMA between, but leave them in the tree.

    A reader that finds one of them sees it write-locked or detached.

    Preconditions: mmap_lock held for write.

    Raises:
        OSError: ENOMEM or EPERM as munmap(2). Then all VMAs are attached again, but splits stay.
        NotModelledError: As do_munmap(). Then nothing has changed.
    """
    # Check before the first change, which cannot be undone.
    refuse_cut(mm, start, end, "munmap of a part")
    refuse_sealed(mm, start, end)
    going = MunmapVmas(start, end)
    vma = mm.find_vma(start)
    try:
        while vma is not None and vma.vm_start < end:
            # Then vma is the part inside the range. Lock and detach it before looking at the next
            # VMA, so that the writer waits for the readers of one VMA at a time.
            _split_at_edges(mm, vma, start, end)
            vma_start_write(vma)
            vma_mark_detached(vma)
            # Append it only after detaching: if the wait is interrupted, vma is still attached, and
            # abort must not attach it twice.
            going.vmas.append(vma)
            # Detached VMAs stay in the tree for now, so look up the next VMA by address.
            vma = mm.find_vma(vma.vm_end)
    except BaseException:
        abort_munmap_vmas(going)
        raise
    return going


def _split_at_edges(mm: MmStruct, vma: Vma, start: int, end: int) -> None:
    # Only a cut in three leaves more VMAs than before: after a cut in two, one part goes away.
    if start > vma.vm_start and end < vma.vm_end and mm.map_count >= mm.limits.max_map_count:
        raise os_error(errno.ENOMEM)
    if is_sealed(vma):
        raise os_error(errno.EPERM)
    if start > vma.vm_start:
        split_vma_unlimited(mm, vma, start, new_below=True)
    if end < vma.vm_end:
        split_vma_unlimited(mm, vma, end, new_below=False)


def abort_munmap_vmas(going: MunmapVmas) -> None:
    """Attach the VMAs again. They never left the tree.

    Preconditions: as for gather_munmap_vmas(); clean_up_munmap_vmas() was not called.
    """
    # They are still write-locked and in the tree, so it is enough to attach them. A reader that got
    # DETACHED meanwhile just looked them up again.
    for vma in going.vmas:
        vma_mark_attached(vma)
    going.vmas.clear()


def clear_munmap_vmas(mm: MmStruct, going: MunmapVmas) -> None:
    """Clear the range in the tree. Preconditions: as for gather_munmap_vmas()."""
    # One store removes any number of VMAs, so readers see all of them or none.
    if going.vmas:
        store_range(mm.mm_mt, going.start, going.end, None)
        account_munmap_vmas(mm, going)


def account_munmap_vmas(mm: MmStruct, going: MunmapVmas) -> None:
    """Subtract the VMAs from mm's counters. Preconditions: as for gather_munmap_vmas()."""
    mm.map_count -= len(going.vmas)
    for vma in going.vmas:
        vma_account(mm, vma.vm_flags, -vma_pages(vma))


def clean_up_munmap_vmas(going: MunmapVmas) -> None:
    """Give huge pages and their reservations back to the pool.

    The VMA that replaces these VMAs may need them. Preconditions: as for gather_munmap_vmas().
    Compare mm/vma.c:vms_clean_up_area().
    """
    if not going.huge_closed:
        close_huge_vmas(going.vmas)
        going.huge_closed = True


def free_munmap_vmas(mm: MmStruct, going: MunmapVmas) -> None:
    """Unmap the pages and free the VMAs.

    Preconditions: mmap_lock held in any mode; the VMAs are no longer in the tree. If another VMA
        has taken over the range, it is write-locked, so that no page was faulted in yet.
    """
    # Pages first: a freed VMA may be in use again at once, even in another mm.
    if going.vmas:
        clean_up_munmap_vmas(going)
        mm.page_table.clear(going.start, going.end)
    for vma in going.vmas:
        vm_area_free(vma)
