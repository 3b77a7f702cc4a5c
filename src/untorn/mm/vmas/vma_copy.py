"""Copy a VMA to another place of the same address space. Compare mm/vma.c:copy_vma()."""

from dataclasses import replace

from untorn.maps.page import PAGE_SHIFT
from untorn.mm.mm_struct import MmStruct
from untorn.mm.rmap import anon_vma_clone
from untorn.mm.vma import Vma, vm_area_dup, vma_is_anonymous
from untorn.mm.vma_lock import vma_start_write
from untorn.mm.vmas.vma_merge import Attributes, vma_merge_new_range
from untorn.mm.vmas.vma_store import vma_store_new


def copy_vma(mm: MmStruct, vma: Vma, start: int, place: int, length: int) -> tuple[Vma, Vma]:
    """Map at place what vma maps from start on; the copy may merge with its new neighbours.

    Args:
        mm: The address space.
        vma: Write-locked.
        start: Byte address in vma where the copied part begins.
        place: Byte address; nothing is mapped in [place, place + length).
        length: Bytes.

    Returns:
        The VMA that holds start now (vma, unless it merged into the copy), and the copy.

    Preconditions: mmap_lock held for write.
    """
    new = Attributes.of(vma, start)
    if vma_is_anonymous(vma) and vma.anon_vma is None:
        new = replace(new, pgoff=place >> PAGE_SHIFT)  # no page is tied to the old offset
    end = place + length
    prev, following = mm.find_vma_prev(place), mm.find_vma(end)
    merged = vma_merge_new_range(mm, prev, following, place, end, new)
    if merged is not None:
        return (merged if merged.vm_start <= start < merged.vm_end else vma), merged
    copy = vm_area_dup(vma)
    copy.vm_start, copy.vm_end, copy.vm_pgoff = place, end, new.pgoff
    anon_vma_clone(copy, vma)
    vma_start_write(copy)
    vma_store_new(mm, copy)
    return vma, copy
