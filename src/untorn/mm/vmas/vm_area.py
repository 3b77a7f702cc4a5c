"""The life of a VMA: allocate it, attach and store it, detach it, free it.

All functions but vm_area_alloc(), vm_area_dup(), vm_area_free() and vma_set_atomic_flag() need
mmap_lock held for write. Compare mm/vma_init.c, mm/vma.h and mm/vma.c.
"""

from untorn.mm.committed import CommittedFile
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mman import VM_ATOMIC_SET_ALLOWED
from untorn.mm.tree.store import store_range
from untorn.mm.vma_lock import (
    vma_assert_attached,
    vma_assert_write_locked,
    vma_mark_attached,
    vma_mark_detached,
)
from untorn.mm.vmas.hugetlb_reserve import hugetlb_vm_open
from untorn.mm.vmas.rmap import unlink_anon_vmas


def vm_area_alloc(mm: MmStruct) -> Vma:
    """Return a new detached VMA of mm. Compare mm/vma_init.c:vm_area_alloc()."""
    return mm.vm_area_cachep.alloc(mm)


def vm_area_dup(vma: Vma) -> Vma:
    """Return a detached copy of vma in the same mm. Compare mm/vma_init.c:vm_area_dup()."""
    # The lock state is not copied: the copy is detached, and not write-locked.
    new = vma.vm_mm.vm_area_cachep.alloc(vma.vm_mm)
    new.copy_from(vma)
    return new


def vma_open(vma: Vma) -> None:
    """Count a new VMA as a user of its file. Preconditions: mmap_lock held for write."""
    if (committed := _committed(vma)) is not None:
        committed.get()
    hugetlb_vm_open(vma)


def vm_area_free(vma: Vma) -> None:
    """Free a detached vma. Compare mm/vma_init.c:vm_area_free()."""
    if (committed := _committed(vma)) is not None:
        committed.put()
    unlink_anon_vmas(vma)
    # It goes back to the slab that it came from, which a child shares with its parent.
    vma.vm_mm.vm_area_cachep.free(vma)


def _committed(vma: Vma) -> CommittedFile | None:
    return None if vma.vm_file is None else vma.vm_file.mapping.committed


def vma_store_new(mm: MmStruct, vma: Vma) -> None:
    """Attach a new, write-locked vma and store it over whatever the tree has in its range."""
    # Attach it before readers can find it. A reader that finds it in the new version gets BUSY,
    # because it is write-locked, and waits at mmap_lock. If it were detached, the reader would
    # repeat its lookup in vain until the section ends.
    vma_mark_attached(vma)
    # One store overwrites whatever was there: VMAs that mmap replaces, half of a VMA that is being
    # split, or nothing.
    store_range(mm.mm_mt, vma.vm_start, vma.vm_end, vma)
    mm.map_count += 1


def vma_store(mm: MmStruct, vma: Vma) -> None:
    """Store an attached, write-locked vma over its current range."""
    vma_assert_write_locked(vma)
    vma_assert_attached(vma)
    # The tree does not change outside this range: if vma has lost a part, that part's slot needs
    # another store.
    store_range(mm.mm_mt, vma.vm_start, vma.vm_end, vma)


def vma_remove_merged(mm: MmStruct, vma: Vma) -> None:
    """Detach and free a vma whose range another VMA has taken over in the tree."""
    # This waits for readers that have incremented the count and are about to leave.
    vma_mark_detached(vma)
    mm.map_count -= 1
    # Readers may still have it from an old version of the tree. They find it detached or back in
    # use, and then its vm_mm or its range tells them.
    vm_area_free(vma)


def vma_set_atomic_flag(vma: Vma, flag: int) -> None:
    """Set a flag of VM_ATOMIC_SET_ALLOWED while other tasks read vma or set such a flag.

    Preconditions: vma read-locked, or mmap_lock held for read.

    Compare include/linux/mm.h:vma_set_atomic_flag().
    """
    # All other changes of vm_flags need mmap_lock for write and the VMA's write lock, and wait for
    # us. So only tasks in this function can store vm_flags meanwhile. The lock serialises them, so
    # that no task undoes the store of another. A task that reads vm_flags gets the old or the new
    # value, which differ in this flag alone. A task that acts on the flag is a writer and comes
    # after us.
    assert flag & ~VM_ATOMIC_SET_ALLOWED == 0
    with vma.vm_mm.page_table_lock:
        vma.vm_flags |= flag
