"""Tear down an address space. Compare kernel/fork.c:mmput() and mm/mmap.c:exit_mmap()."""

from untorn.mm.mm_types import MmStruct, count_pages, mmdrop, vma_pages
from untorn.mm.mman import VM_ACCOUNT
from untorn.mm.mmap_lock import mmap_write_lock, mmap_write_unlock
from untorn.mm.pages.hugetlb_fault import close_huge_vmas
from untorn.mm.tree.store import store_range
from untorn.mm.vma_lock import vma_mark_detached, vma_start_write
from untorn.mm.vmas.accounting import commit
from untorn.mm.vmas.vm_area import vm_area_free


def mmput(mm: MmStruct) -> None:
    """Stop being a user of mm. The last user tears it down.

    Context: may take mmap_lock for write and wait for readers of VMAs.
    """
    # At 0 mmget_not_zero() fails, so no reader of maps can begin after this. A task that holds a
    # reference in mm_count keeps the structure, but finds it empty.
    if mm.mm_users.add(-1) == 0:
        exit_mmap(mm)
        mmdrop(mm)


def exit_mmap(mm: MmStruct) -> None:
    """Unmap everything. Preconditions: mm_users is 0, so no new reader of maps can begin.

    A reader of another mm may still hold a VMA for a moment, if it was recycled into this mm.
    """
    mmap_write_lock(mm)
    vmas = [vma for _, _, vma in mm.mm_mt]
    # As in munmap: lock and detach each VMA, then clear all with one store.
    for vma in vmas:
        vma_start_write(vma)
        vma_mark_detached(vma)
    store_range(mm.mm_mt, 0, mm.task_size, None)
    close_huge_vmas(vmas)
    mm.page_table.clear(0, mm.task_size)
    mm.page_table.forget_files()
    commit(mm, -sum(vma_pages(vma) for vma in vmas if vma.vm_flags & VM_ACCOUNT))
    # count_pages() of no VMAs names all counters.
    for field in count_pages([]):
        setattr(mm, field, 0)
    mm.map_count = mm.locked_vm_excess = 0
    mmap_write_unlock(mm)
    # The VMAs are out of the tree and have no readers, so no lock is needed to free them.
    for vma in vmas:
        vm_area_free(vma)
