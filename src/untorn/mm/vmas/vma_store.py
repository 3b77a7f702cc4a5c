"""Put VMAs into the tree and take them out of use, keeping map_count.

Every function needs mmap_lock held for write. Compare mm/vma.h and mm/vma.c.
"""

from untorn.maps.page import PAGE_SHIFT
from untorn.mm.mm_struct import MmStruct, vm_stat_account
from untorn.mm.mman import VM_LOCKED
from untorn.mm.tree.store import store_range
from untorn.mm.vma import Vma, vm_area_free
from untorn.mm.vma_lock import (
    vma_assert_attached,
    vma_assert_write_locked,
    vma_mark_attached,
    vma_mark_detached,
)


def vma_pages(vma: Vma) -> int:
    """Return the size of vma in pages."""
    return vma.vm_end - vma.vm_start >> PAGE_SHIFT


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


def vma_account(mm: MmStruct, flags: int, pages: int) -> None:
    """Count pages of a mapping with these VM_* flags in, or out if negative."""
    vm_stat_account(mm, flags, pages)
    if flags & VM_LOCKED:
        mm.locked_vm += pages
