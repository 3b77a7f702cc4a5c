"""A VMA from its allocation to its end: made, attached and stored, detached, freed.

All but vm_area_alloc(), vm_area_dup(), vm_area_free() and vma_set_atomic_flag() need mmap_lock held
for write. Compare mm/vma_init.c, mm/vma.h and mm/vma.c.
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
    # Lock state is not copied: the copy is detached, and no section has locked it.
    new = vma.vm_mm.vm_area_cachep.alloc(vma.vm_mm)
    new.copy_from(vma)
    return new


def vma_open(vma: Vma) -> None:
    """Let a new VMA be one more user of what it maps. Preconditions: mmap_lock held for write."""
    if (committed := _committed(vma)) is not None:
        committed.get()
    hugetlb_vm_open(vma)


def vm_area_free(vma: Vma) -> None:
    """Give a detached vma back. Compare mm/vma_init.c:vm_area_free()."""
    if (committed := _committed(vma)) is not None:
        committed.put()
    unlink_anon_vmas(vma)
    # To the slab that it came from: a child shares its parent's.
    vma.vm_mm.vm_area_cachep.free(vma)


def _committed(vma: Vma) -> CommittedFile | None:
    return None if vma.vm_file is None else vma.vm_file.mapping.committed


def vma_store_new(mm: MmStruct, vma: Vma) -> None:
    """Attach a new, write-locked vma and store it over whatever the tree has in its range."""
    # Attached before it can be found: a reader that meets it in the new version is told BUSY, as it
    # is write-locked, and waits at mmap_lock. Detached, it would send the reader round in circles
    # for as long as the section lasts.
    vma_mark_attached(vma)
    # One store for whatever was there: VMAs that are being replaced, the half of one that is being
    # split, or nothing.
    store_range(mm.mm_mt, vma.vm_start, vma.vm_end, vma)
    mm.map_count += 1


def vma_store(mm: MmStruct, vma: Vma) -> None:
    """Store vma, attached and write-locked, over its range as it is now."""
    vma_assert_write_locked(vma)
    vma_assert_attached(vma)
    # What the tree has outside of the range is left alone: if vma gave a part away, that part's
    # slot needs a store of its own.
    store_range(mm.mm_mt, vma.vm_start, vma.vm_end, vma)


def vma_remove_merged(mm: MmStruct, vma: Vma) -> None:
    """Detach and free a vma whose range another VMA has taken over in the tree."""
    # Waits for readers that counted themselves in and are about to leave.
    vma_mark_detached(vma)
    mm.map_count -= 1
    # Readers may still have it in hand from an old version of the tree. They find it detached, or
    # back in use: then its vm_mm or its range tells them.
    vm_area_free(vma)


def vma_set_atomic_flag(vma: Vma, flag: int) -> None:
    """Set one of VM_ATOMIC_SET_ALLOWED while others read vma, or set one, too.

    Preconditions: vma read-locked, or mmap_lock held for read.

    Compare include/linux/mm.h:vma_set_atomic_flag().
    """
    # All other changes of vm_flags need mmap_lock for write and the VMA's write lock, which both
    # wait for us. So only tasks that are here as well can store it meanwhile, and the lock puts
    # these in a row: none undoes what another has set. A task that only reads vm_flags meets the
    # old or the new number, which differ in this flag alone; a task that acts on the flag is a
    # writer, and comes after us.
    assert flag & ~VM_ATOMIC_SET_ALLOWED == 0
    with vma.vm_mm.page_table_lock:
        vma.vm_flags |= flag
