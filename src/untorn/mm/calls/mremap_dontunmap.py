"""Finish MREMAP_DONTUNMAP: leave an unlocked mapping without pages at the old address.

Compare mm/mremap.c:dontunmap_complete().
"""

from untorn.maps.page import PAGE_SHIFT
from untorn.mm.calls.mremap_check import VmaRemap
from untorn.mm.mm_types import Vma, vma_is_anonymous, vma_pages
from untorn.mm.mman import VM_ACCOUNT, VM_LOCKED, VM_LOCKED_MASK
from untorn.mm.vma_lock import vma_start_write
from untorn.mm.vmas.rmap import unlink_anon_vmas
from untorn.releases.changes import (
    DONTUNMAP_COUNTS_TWICE,
    DONTUNMAP_CUTS,
    DONTUNMAP_LEAVES_NEW,
    DONTUNMAP_STAYS_CHARGED,
    DONTUNMAP_UNCHARGES,
)
from untorn.releases.release import Release


def dontunmap_complete(remap: VmaRemap, source: Vma, copy: Vma) -> None:
    """Unlock the source. If all of it moved, drop its anon_vma.

    Preconditions: mmap_lock held for write, source write-locked, its pages moved to copy.
    """
    _unlock(remap, source)
    # If the whole source moved, it has no page left that needs an anon_vma.
    bounds = remap.addr, remap.addr + remap.old_len
    if source is not copy and bounds == (source.vm_start, source.vm_end):
        unlink_anon_vmas(source)
        if remap.mm.release.has(DONTUNMAP_LEAVES_NEW):
            _begin_anew(source)


def _unlock(remap: VmaRemap, source: Vma) -> None:
    if source.vm_flags & VM_LOCKED:
        # Pages that are not subtracted here stay in Linux's locked_vm until the next exec.
        counted_out = _counted_out(remap, source)
        remap.mm.locked_vm -= counted_out
        remap.mm.locked_vm_excess += vma_pages(source) - counted_out
    vma_start_write(source)
    source.vm_flags &= ~(VM_LOCKED_MASK | _lost_account(remap.mm.release))


def _lost_account(release: Release) -> int:
    """Return VM_ACCOUNT if the source loses the flag, although its pages stay committed."""
    lost = release.has(DONTUNMAP_UNCHARGES) and not release.has(DONTUNMAP_STAYS_CHARGED)
    return VM_ACCOUNT if lost else 0


def _counted_out(remap: VmaRemap, source: Vma) -> int:
    """Return how many pages Linux subtracts from locked_vm for the unlocked source."""
    if remap.mm.release.has(DONTUNMAP_CUTS):
        return vma_pages(source)
    # The moved pages were locked before, and are still locked at their new address.
    return 0 if remap.mm.release.has(DONTUNMAP_COUNTS_TWICE) else remap.old_len >> PAGE_SHIFT


def _begin_anew(source: Vma) -> None:
    """Set the anonymous page offset of source from its address, as for a new mapping."""
    source.vm_anon_pgoff = source.vm_start >> PAGE_SHIFT
    if vma_is_anonymous(source) and source.vm_file is None:
        source.vm_pgoff = source.vm_anon_pgoff
