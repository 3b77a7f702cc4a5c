"""Unmap: split at the edges, detach what lies between, clear it with one store, free it.

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
    """VMAs on their way out: detached, still in the tree. Compare struct vma_munmap_struct.

    Attributes:
        start, end: Byte addresses of the range that is unmapped or replaced.
        vmas: What lies in it, each wholly.
        huge_closed: clean_up_munmap_vmas() was called.
    """

    start: int
    end: int
    vmas: list[Vma] = field(default_factory=list)
    huge_closed: bool = False

    @property
    def pages(self) -> int:
        """Pages mapped in the range."""
        return sum(vma_pages(vma) for vma in self.vmas)

    @property
    def accounted(self) -> int:
        """Pages of them that memory was promised for."""
        return sum(vma_pages(vma) for vma in self.vmas if vma.vm_flags & VM_ACCOUNT)


def do_munmap(mm: MmStruct, start: int, length: int) -> None:
    """Unmap all whole or partial VMAs in [start, start + length).

    Args:
        mm: The address space; its mmap_lock is taken for write, and downgraded to read while
            the unmapped VMAs are freed.
        start: Byte address, a multiple of the page size.
        length: Bytes, rounded up to whole pages.

    Raises:
        OSError: EINVAL if start is not aligned, length is 0 or the range is not user space;
            ENOMEM if a VMA cut in two would be one more than allowed; EPERM if a VMA is sealed;
            EINTR if the task is killed while it waits for the lock.
        NotModelledError: The range ends inside a driver's mapping; see driver.py.

    Source: munmap(2); mm/vma.c:do_vmi_munmap().
    """
    end = _end_in_user_space(mm, start, length)
    mmap_write_lock_killable(mm)
    # From the first detached VMA to the store that clears the range, a reader that meets one of
    # them in the tree is told BUSY or DETACHED, and ends up waiting for mmap_lock.
    try:
        going = gather_munmap_vmas(mm, start, end)
        clear_munmap_vmas(mm, going)
    except BaseException:
        mmap_write_unlock(mm)
        raise
    # The VMAs are in no tree and have no readers, so what is left concerns only this task. Pages
    # can be many: readers and faults need not wait until they are freed.
    mmap_write_downgrade(mm)
    # Still under mmap_lock for read: no new mapping comes in its place whose pages would go, too.
    free_munmap_vmas(mm, going)
    mmap_read_unlock(mm)


def do_munmap_locked(mm: MmStruct, start: int, length: int) -> None:
    """Unmap as do_munmap() does, inside a write section of the caller's.

    Preconditions: mmap_lock held for write.
    """
    going = gather_munmap_vmas(mm, start, _end_in_user_space(mm, start, length))
    clear_munmap_vmas(mm, going)
    free_munmap_vmas(mm, going)


def _end_in_user_space(mm: MmStruct, start: int, length: int) -> int:
    """Return the end of a range that munmap takes; EINVAL for others."""
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
    """Split at start and end; write-lock and detach every VMA between, leaving the tree as is.

    A reader that meets one of them finds it write-locked, or detached and then write-locked.

    Preconditions: mmap_lock held for write.

    Raises:
        OSError: ENOMEM or EPERM as munmap(2); all VMAs are attached then, splits stay.
        NotModelledError: As do_munmap(); nothing has changed then.
    """
    # Before the first change, as it cannot be taken back.
    refuse_cut(mm, start, end, "munmap of a part")
    refuse_sealed(mm, start, end)
    going = MunmapVmas(start, end)
    vma = mm.find_vma(start)
    try:
        while vma is not None and vma.vm_start < end:
            # After it vma is the part inside of the range. The VMA is locked and detached before
            # the next one is looked at: only one is waited for at a time.
            _split_at_edges(mm, vma, start, end)
            vma_start_write(vma)
            vma_mark_detached(vma)
            # After the detaching: an interrupted wait leaves vma attached, and abort must not
            # attach it twice.
            going.vmas.append(vma)
            # Detached VMAs stay in the tree for now, so the walk finds its way by address.
            vma = mm.find_vma(vma.vm_end)
    except BaseException:
        abort_munmap_vmas(going)
        raise
    return going


def _split_at_edges(mm: MmStruct, vma: Vma, start: int, end: int) -> None:
    # Only a cut in three makes one VMA more than there were: of a cut in two, one part goes.
    if start > vma.vm_start and end < vma.vm_end and mm.map_count >= mm.limits.max_map_count:
        raise os_error(errno.ENOMEM)
    if is_sealed(vma):
        raise os_error(errno.EPERM)
    if start > vma.vm_start:
        split_vma_unlimited(mm, vma, start, new_below=True)
    if end < vma.vm_end:
        split_vma_unlimited(mm, vma, end, new_below=False)


def abort_munmap_vmas(going: MunmapVmas) -> None:
    """Put the VMAs back to use; they never left the tree.

    Preconditions: as gather's; not after clean_up_munmap_vmas().
    """
    # They are still write-locked and still in the tree: counting them back in is all it takes. A
    # reader that was told DETACHED meanwhile did no harm by looking again.
    for vma in going.vmas:
        vma_mark_attached(vma)
    going.vmas.clear()


def clear_munmap_vmas(mm: MmStruct, going: MunmapVmas) -> None:
    """Take the whole range out of the tree with one store. Preconditions: as gather's."""
    # One store for any number of VMAs: they go together, or have not gone yet.
    if going.vmas:
        store_range(mm.mm_mt, going.start, going.end, None)
        account_munmap_vmas(mm, going)


def account_munmap_vmas(mm: MmStruct, going: MunmapVmas) -> None:
    """Count the VMAs out of mm. Preconditions: as gather's."""
    mm.map_count -= len(going.vmas)
    for vma in going.vmas:
        vma_account(mm, vma.vm_flags, -vma_pages(vma))


def clean_up_munmap_vmas(going: MunmapVmas) -> None:
    """Give huge pages back to their pool, what was reserved of them, too.

    What takes the place of the VMAs may need them. Preconditions: as gather's.
    Compare mm/vma.c:vms_clean_up_area().
    """
    if not going.huge_closed:
        close_huge_vmas(going.vmas)
        going.huge_closed = True


def free_munmap_vmas(mm: MmStruct, going: MunmapVmas) -> None:
    """Let the pages go and give the objects back.

    Preconditions: mmap_lock held in any mode; no longer in the tree. What may have taken the
        range over is write-locked, so that nothing was faulted in yet.
    """
    # Pages first. An object that was given back may be in use again at once, in another mm, too.
    if going.vmas:
        clean_up_munmap_vmas(going)
        mm.page_table.clear(going.start, going.end)
    for vma in going.vmas:
        vm_area_free(vma)
