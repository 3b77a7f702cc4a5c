"""What MREMAP_DONTUNMAP leaves at the old place: an empty mapping, unlocked.

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
    """Unlock the source; if all of it moved, let go of its anon_vma.

    Preconditions: mmap_lock held for write, source write-locked, its pages moved to copy.
    """
    _unlock(remap, source)
    # No page of it is left that an anon_vma could be needed for.
    bounds = remap.addr, remap.addr + remap.old_len
    if source is not copy and bounds == (source.vm_start, source.vm_end):
        unlink_anon_vmas(source)
        if remap.mm.release.has(DONTUNMAP_LEAVES_NEW):
            _begin_anew(source)


def _unlock(remap: VmaRemap, source: Vma) -> None:
    if source.vm_flags & VM_LOCKED:
        # All that is not taken from the count here Linux goes on counting until the next exec.
        counted_out = _counted_out(remap, source)
        remap.mm.locked_vm -= counted_out
        remap.mm.locked_vm_excess += vma_pages(source) - counted_out
    vma_start_write(source)
    source.vm_flags &= ~(VM_LOCKED_MASK | _lost_account(remap.mm.release))


def _lost_account(release: Release) -> int:
    """Return VM_ACCOUNT where all of the source loses it, though memory stays promised for it."""
    lost = release.has(DONTUNMAP_UNCHARGES) and not release.has(DONTUNMAP_STAYS_CHARGED)
    return VM_ACCOUNT if lost else 0


def _counted_out(remap: VmaRemap, source: Vma) -> int:
    """Return how many pages Linux takes from locked_vm for the source, that it has unlocked."""
    if remap.mm.release.has(DONTUNMAP_CUTS):
        return vma_pages(source)
    # What moved was locked before, and is locked where it moved to.
    return 0 if remap.mm.release.has(DONTUNMAP_COUNTS_TWICE) else remap.old_len >> PAGE_SHIFT


def _begin_anew(source: Vma) -> None:
    """Number the pages that source may own in future by its address, as those of a new mapping."""
    source.vm_anon_pgoff = source.vm_start >> PAGE_SHIFT
    if vma_is_anonymous(source) and source.vm_file is None:
        source.vm_pgoff = source.vm_anon_pgoff
