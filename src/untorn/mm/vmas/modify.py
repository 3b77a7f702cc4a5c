"""Change the attributes of part of a VMA: merge the part with a neighbour, or split it off.

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
    """Split vma at addr if max_map_count allows one more VMA. Return the new VMA.

    Raises:
        OSError: ENOMEM if the mm already has max_map_count VMAs; EINVAL if vma may not be split.
    """
    # munmap does this check itself, once if it cuts a VMA in three, and calls the function below.
    if mm.map_count >= mm.limits.max_map_count:
        raise os_error(errno.ENOMEM)
    return split_vma_unlimited(mm, vma, addr, new_below=new_below)


def split_vma_unlimited(mm: MmStruct, vma: Vma, addr: int, *, new_below: bool) -> Vma:
    """Split vma at addr and return the new VMA, which is the part below or the part above.

    Readers can see this order: both VMAs are write-locked, the bounds of the old one change, the
    new one is attached, and then one store puts the new one over its half in the tree.

    Preconditions: addr page-aligned, strictly inside vma.

    Raises:
        OSError: EINVAL if vma may not be split there; see check_may_split().
    """
    assert vma.vm_start < addr < vma.vm_end
    check_may_split(vma, addr)
    new = vm_area_dup(vma)
    vma_open(new)
    anon_vma_clone(new, vma)
    # Wait for readers before the first change. The new VMA has no readers yet; it is locked so that
    # none can lock it before the section ends.
    vma_start_write(vma)
    vma_start_write(new)
    pages_below = addr - vma.vm_start >> PAGE_SHIFT
    if new_below:
        new.vm_end = vma.vm_start = addr
        vma_add_pgoff(vma, pages_below)
    else:
        new.vm_start = vma.vm_end = addr
        vma_add_pgoff(new, pages_below)
    # Until this store, the tree has vma for the whole old range. A reader that finds vma there
    # cannot lock it, so no reader believes that the other half is unmapped.
    vma_store_new(mm, new)
    return new


def check_may_split(vma: Vma, addr: int) -> None:
    """Refuse to split a special mapping, or a VMA of hugetlbfs inside a page.

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
    """Give [start, end) of vma new attributes, by a merge with a neighbour or by splits.

    Returns:
        The VMA that covers the range now, write-locked, with flags, name and policy set.

    Raises:
        OSError: ENOMEM if a split would exceed max_map_count; the first of two splits may have been
            done. EINVAL if a split is needed and vma may not be split.
    """
    # Try to merge before any split: that may be possible where max_map_count forbids a split.
    merged = vma_merge_existing_range(mm, vma, start, end, new)
    if merged is not None:
        return merged
    # The parts that keep the old attributes become the new VMAs, so that vma is the range after
    # both splits.
    if vma.vm_start < start:
        split_vma(mm, vma, start, new_below=True)
    if end < vma.vm_end:
        split_vma(mm, vma, end, new_below=False)
    # If there was no split, vma is not locked yet.
    vma_start_write(vma)
    vma.vm_flags, vma.anon_name, vma.vm_policy = new.flags, new.anon_name, new.policy
    return vma


def copy_vma(
    mm: MmStruct, vma: Vma, start: int, place: int, length: int, *, keeps_source: bool
) -> tuple[Vma, Vma]:
    """Copy the part of vma that begins at start to place. The copy may merge with its neighbours.

    Args:
        mm: The address space.
        vma: The VMA to copy from, write-locked.
        start: Byte address in vma where the copied part begins.
        place: Byte address; nothing is mapped in [place, place + length).
        length: Bytes.
        keeps_source: The source stays as a mapping without pages.

    Returns:
        The VMA that now holds start (vma, unless it merged into the copy), and the copy.

    Preconditions: mmap_lock held for write.
    """
    new = _attributes_of_copy(vma, start, place)
    # The copy is a new mapping in the tree, and the source stays where it is. In a plain move the
    # caller unmaps the source in the same section, and no reader can lock either VMA before that.
    end = place + length
    prev, following = mm.find_vma_prev(place), mm.find_vma(end)
    if keeps_source:
        prev, following = _without(vma, prev, following)
    merged = vma_merge_new_range(mm, prev, following, place, end, new)
    if merged is not None:
        # The copy may have merged with the source itself, if it is right beside it.
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
    """Return the neighbours that a copy may merge with if its source stays."""
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
    # Without an anon_vma no page uses the old offset, so the copy may start with a new one.
    new = replace(new, anon_pgoff=place >> PAGE_SHIFT)
    return replace(new, pgoff=new.anon_pgoff) if vma_is_anonymous(vma) else new
