"""A VMA from its allocation to its end: made, attached and stored, detached, freed.

All but vm_area_alloc(), vm_area_dup() and vm_area_free() need mmap_lock held for write. Compare
mm/vma_init.c, mm/vma.h and mm/vma.c.
"""

from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.tree.store import store_range
from untorn.mm.vma_lock import (
    vma_assert_attached,
    vma_assert_write_locked,
    vma_mark_attached,
    vma_mark_detached,
)
from untorn.mm.vmas.rmap import unlink_anon_vmas


def vm_area_alloc(mm: MmStruct) -> Vma:
    """Return a new detached VMA of mm. Compare mm/vma_init.c:vm_area_alloc()."""
    return mm.vm_area_cachep.alloc(mm)


def vm_area_dup(vma: Vma) -> Vma:
    """Return a detached copy of vma in the same mm. Compare mm/vma_init.c:vm_area_dup()."""
    new = vma.vm_mm.vm_area_cachep.alloc(vma.vm_mm)
    new.copy_from(vma)
    return new


def vm_area_free(vma: Vma) -> None:
    """Give a detached vma back. Compare mm/vma_init.c:vm_area_free()."""
    unlink_anon_vmas(vma)
    vma.vm_mm.vm_area_cachep.free(vma)


def vma_store_new(mm: MmStruct, vma: Vma) -> None:
    """Attach a new, write-locked vma and store it over whatever the tree has in its range."""
    vma_mark_attached(vma)
    store_range(mm.mm_mt, vma.vm_start, vma.vm_end, vma)
    mm.map_count += 1


def vma_store(mm: MmStruct, vma: Vma) -> None:
    """Store vma, attached and write-locked, over its range as it is now."""
    vma_assert_write_locked(vma)
    vma_assert_attached(vma)
    store_range(mm.mm_mt, vma.vm_start, vma.vm_end, vma)


def vma_remove_merged(mm: MmStruct, vma: Vma) -> None:
    """Detach and free a vma whose range another VMA has taken over in the tree."""
    vma_mark_detached(vma)
    mm.map_count -= 1
    vm_area_free(vma)
