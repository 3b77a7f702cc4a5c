"""Which anon_vma a VMA gets: a neighbour's, if both could be one but for their permissions.

Compare mm/vma.c:find_mergeable_anon_vma(), reusable_anon_vma(), anon_vma_compatible().
"""

from untorn.mm.mm_struct import MmStruct
from untorn.mm.mman import VM_ACCESS_FLAGS, VM_STICKY
from untorn.mm.rmap import AnonVma, anon_vma_prepare
from untorn.mm.vma import Vma
from untorn.mm.vmas.vma_store import vma_pages


def vma_anon_prepare(mm: MmStruct, vma: Vma) -> None:
    """Give vma an anon_vma unless it has one.

    Preconditions: mmap_lock held for write, or for read with mm.page_table_lock.
    """
    anon_vma_prepare(vma, _find_mergeable_anon_vma(mm, vma))


def _find_mergeable_anon_vma(mm: MmStruct, vma: Vma) -> AnonVma | None:
    """Return a neighbour's anon_vma that vma may share; the VMA above is asked first."""
    above = mm.find_vma(vma.vm_end)
    if above is not None and _compatible(vma, above) and len(above.anon_vma_chain) == 1:
        return above.anon_vma
    below = mm.find_vma_prev(vma.vm_start)
    if below is not None and _compatible(below, vma) and len(below.anon_vma_chain) == 1:
        return below.anon_vma
    return None


def _compatible(lower: Vma, upper: Vma) -> bool:
    return (
        lower.vm_end == upper.vm_start
        and lower.vm_file is upper.vm_file
        and not (lower.vm_flags ^ upper.vm_flags) & ~(VM_ACCESS_FLAGS | VM_STICKY)
        and upper.vm_pgoff == lower.vm_pgoff + vma_pages(lower)
    )
