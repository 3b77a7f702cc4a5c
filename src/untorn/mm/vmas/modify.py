"""Give part of a VMA other attributes: merge it with a neighbour, or split it off.

Every function needs mmap_lock held for write. Compare mm/vma.c:split_vma() and vma_modify().
"""

import errno
from dataclasses import replace

from untorn.errors import os_error
from untorn.maps.page import PAGE_SHIFT
from untorn.mm.mempolicy import Mempolicy
from untorn.mm.mm_types import (
    MmStruct,
    Vma,
    vma_add_pgoff,
    vma_is_anonymous,
    vma_kernel_pagesize,
)
from untorn.mm.vma_lock import vma_start_write
from untorn.mm.vmas.merge import Attributes, vma_merge_existing_range, vma_merge_new_range
from untorn.mm.vmas.rmap import anon_vma_clone
from untorn.mm.vmas.vm_area import vm_area_dup, vma_open, vma_store_new
from untorn.releases.changes import COPY_PASSES_SOURCE, DONTUNMAP_LEAVES_NEW


def split_vma(mm: MmStruct, vma: Vma, addr: int, *, new_below: bool) -> Vma:
    """Cut vma at addr if the limit allows one more VMA; return the new one.

    Raises:
        OSError: ENOMEM if the mm already has max_map_count VMAs; EINVAL if vma may not be cut.
    """
    # munmap asks itself, once for a cut in three, and calls the function below.
    if mm.map_count >= mm.limits.max_map_count:
        raise os_error(errno.ENOMEM)
    return split_vma_unlimited(mm, vma, addr, new_below=new_below)


def split_vma_unlimited(mm: MmStruct, vma: Vma, addr: int, *, new_below: bool) -> Vma:
    """Cut vma at addr and return the new VMA: the part below, or the part above.

    Order (what a reader can see): both write-locked, the old one's bounds change, the new one is
    attached, then one tree store over its half.

    Preconditions: addr page-aligned, strictly inside vma.

    Raises:
        OSError: EINVAL if vma may not be cut there; see check_may_split().
    """
    assert vma.vm_start < addr < vma.vm_end
    check_may_split(vma, addr)
    new = vm_area_dup(vma)
    vma_open(new)
    anon_vma_clone(new, vma)
    # The wait comes before the first change. The new one has no readers yet; it is locked so that
    # none can get it before the section ends.
    vma_start_write(vma)
    vma_start_write(new)
    pages_below = addr - vma.vm_start >> PAGE_SHIFT
    if new_below:
        new.vm_end = vma.vm_start = addr
        vma_add_pgoff(vma, pages_below)
    else:
        new.vm_start = vma.vm_end = addr
        vma_add_pgoff(new, pages_below)
    # Until this store the tree has vma for all of the old range. A reader that finds it there
    # cannot lock it, so nobody takes the other half for unmapped.
    vma_store_new(mm, new)
    return new


def check_may_split(vma: Vma, addr: int) -> None:
    """Refuse to cut vma at addr if it is the kernel's own, or inside a page of hugetlbfs.

    Raises:
        OSError: EINVAL.

    Compare include/linux/mm.h:vm_operations_struct.may_split.
    """
    special = vma.vm_ops is not None and not vma.vm_ops.may_split
    if special or addr % vma_kernel_pagesize(vma):
        raise os_error(errno.EINVAL)


def vma_modify_flags(mm: MmStruct, vma: Vma, start: int, end: int, flags: int) -> Vma:
    """Give [start, end) of vma these VM_* flags; see vma_modify()."""
    return vma_modify(mm, vma, start, end, replace(Attributes.of(vma, start), flags=flags))


def vma_modify_name(mm: MmStruct, vma: Vma, start: int, end: int, name: bytes | None) -> Vma:
    """Give [start, end) of vma this name; see vma_modify()."""
    return vma_modify(mm, vma, start, end, replace(Attributes.of(vma, start), anon_name=name))


def vma_modify_policy(
    mm: MmStruct, vma: Vma, start: int, end: int, policy: Mempolicy | None
) -> Vma:
    """Give [start, end) of vma this memory policy; see vma_modify()."""
    return vma_modify(mm, vma, start, end, replace(Attributes.of(vma, start), policy=policy))


def vma_modify(mm: MmStruct, vma: Vma, start: int, end: int, new: Attributes) -> Vma:
    """Make [start, end) of vma a VMA of its own, or part of a neighbour, with new attributes.

    Returns:
        The VMA that covers the range now, write-locked, with flags, name and policy set.

    Raises:
        OSError: ENOMEM if a split is needed at max_map_count; a first split may have been done.
            EINVAL if a split is needed and vma may not be cut.
    """
    # A merge before any split: it may be possible where max_map_count forbids to split.
    merged = vma_merge_existing_range(mm, vma, start, end, new)
    if merged is not None:
        return merged
    # The part that is cut off is the one that keeps the old attributes, so that vma is the range
    # after both cuts.
    if vma.vm_start < start:
        split_vma(mm, vma, start, new_below=True)
    if end < vma.vm_end:
        split_vma(mm, vma, end, new_below=False)
    # Without a cut it was not locked yet.
    vma_start_write(vma)
    vma.vm_flags, vma.anon_name, vma.vm_policy = new.flags, new.anon_name, new.policy
    return vma


def copy_vma(
    mm: MmStruct, vma: Vma, start: int, place: int, length: int, *, keeps_source: bool
) -> tuple[Vma, Vma]:
    """Map at place what vma maps from start on; the copy may merge with its new neighbours.

    Args:
        mm: The address space.
        vma: Write-locked.
        start: Byte address in vma where the copied part begins.
        place: Byte address; nothing is mapped in [place, place + length).
        length: Bytes.
        keeps_source: The source stays, as an empty mapping.

    Returns:
        The VMA that holds start now (vma, unless it merged into the copy), and the copy.

    Preconditions: mmap_lock held for write.
    """
    new = _attributes_of_copy(vma, start, place)
    # To the tree the copy is a new mapping, and the source stays where it is. For a plain move the
    # caller unmaps it in the same section, so no reader can lock either before both is done.
    end = place + length
    prev, following = mm.find_vma_prev(place), mm.find_vma(end)
    if keeps_source:
        prev, following = _without(vma, prev, following)
    merged = vma_merge_new_range(mm, prev, following, place, end, new)
    if merged is not None:
        # The copy may have joined the source itself, if it was put right beside it.
        return (merged if merged.vm_start <= start < merged.vm_end else vma), merged
    copy = vm_area_dup(vma)
    vma_open(copy)
    copy.vm_start, copy.vm_end = place, end
    copy.vm_pgoff, copy.vm_anon_pgoff = new.pgoff, new.anon_pgoff
    anon_vma_clone(copy, vma)
    vma_start_write(copy)
    vma_store_new(mm, copy)
    return vma, copy


def _without(source: Vma, prev: Vma | None, following: Vma | None) -> tuple[Vma | None, Vma | None]:
    """Return those neighbours of a copy that it may merge with, if its source is to stay."""
    if not source.vm_mm.release.has(DONTUNMAP_LEAVES_NEW) or source not in (prev, following):
        return prev, following
    return _other_side(source, prev, following)


def _other_side(
    source: Vma, prev: Vma | None, following: Vma | None
) -> tuple[Vma | None, Vma | None]:
    if not source.vm_mm.release.has(COPY_PASSES_SOURCE):
        return None, None
    return (None if prev is source else prev), (None if following is source else following)


def _attributes_of_copy(vma: Vma, start: int, place: int) -> Attributes:
    new = replace(Attributes.of(vma, start), copied=True)
    if vma.anon_vma is not None:
        return new
    # No page is tied to the old offset: what is not mapped yet may begin anew.
    new = replace(new, anon_pgoff=place >> PAGE_SHIFT)
    return replace(new, pgoff=new.anon_pgoff) if vma_is_anonymous(vma) else new
