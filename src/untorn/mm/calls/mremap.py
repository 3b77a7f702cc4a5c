"""Resize and move mappings.

A move copies the VMA to its new place, where it may merge, and unmaps the old one. During the
section both exist. Compare mm/mremap.c:do_mremap() and mm/vma.c:copy_vma().
"""

import errno
from dataclasses import replace

from untorn.errors import os_error
from untorn.maps.page import PAGE_SHIFT, PAGE_SIZE, page_align
from untorn.mm.calls.mremap_check import (
    VmaRemap,
    check_map_count,
    check_map_count_early,
    check_mremap_params,
    check_prep_vma,
    check_resize,
    splits_source,
)
from untorn.mm.calls.mremap_dontunmap import dontunmap_complete
from untorn.mm.calls.munmap import do_munmap_locked
from untorn.mm.mm_types import MmStruct, Vma, vma_kernel_pagesize
from untorn.mm.mman import (
    MAP_FIXED,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    VM_ACCOUNT,
    VM_HUGETLB,
    VM_LOCKED,
    VM_MAYSHARE,
)
from untorn.mm.mmap_lock import mmap_write_lock_killable, mmap_write_unlock
from untorn.mm.pages.gup import mm_populate
from untorn.mm.pages.hugetlb_fault import move_huge_pages
from untorn.mm.pages.pte_range import move_page_tables
from untorn.mm.vma_lock import vma_start_write
from untorn.mm.vmas.accounting import may_commit, may_expand_vm, vma_account
from untorn.mm.vmas.driver import refuse_drivers
from untorn.mm.vmas.merge import Attributes, vma_merge_new_range
from untorn.mm.vmas.modify import check_may_split, copy_vma, split_vma
from untorn.mm.vmas.unmapped_area import get_unmapped_area
from untorn.releases.changes import MREMAP_CHECKS_FIRST, MREMAP_OF_SEVERAL


def do_mremap(
    mm: MmStruct, addr: int, old_len: int, new_len: int, flags: int, new_addr: int
) -> int:
    """Resize or move [addr, addr + old_len). Return its new byte address.

    Args:
        mm: The address space; its mmap_lock is taken for write.
        addr: Byte address, a multiple of the page size.
        old_len: Bytes, rounded up; 0 duplicates a shared mapping.
        new_len: Bytes, rounded up.
        flags: MREMAP_* bits.
        new_addr: The new byte address with MREMAP_FIXED, a hint with MREMAP_DONTUNMAP alone;
            otherwise ignored.

    Raises:
        OSError: with the errno of mremap(2), in Linux's order of checks. With MREMAP_FIXED the
            destination may be unmapped by then, and VMAs before the failing one may have moved.
        NotModelledError: A driver's mapping would grow, move or be replaced; see driver.py.

    Source: mremap(2); mm/mremap.c:do_mremap().
    """
    remap = VmaRemap(mm, addr, page_align(old_len), page_align(new_len), flags, new_addr)
    # Earlier releases compare the lengths before they round them up to pages.
    rounded = mm.release.has(MREMAP_CHECKS_FIRST)
    check_mremap_params(remap, resizes=remap.delta != 0 if rounded else old_len != new_len)
    mmap_write_lock_killable(mm)
    # Everything happens in one section. Readers may see the old source until it is write-locked,
    # and with MREMAP_FIXED a transient hole at the destination.
    try:
        grown_locked = _grows_locked(remap)
        place = _mremap_locked(remap)
    finally:
        mmap_write_unlock(mm)
    if grown_locked:
        mm_populate(mm, place + remap.old_len, place + remap.new_len)
    return place


def _lookup(mm: MmStruct, addr: int) -> Vma | None:
    vma = mm.find_vma(addr)
    return vma if vma is not None and vma.vm_start <= addr else None


def _grows_locked(remap: VmaRemap) -> bool:
    vma = _lookup(remap.mm, remap.addr)
    return vma is not None and bool(vma.vm_flags & VM_LOCKED) and remap.delta > 0


def _mremap_locked(remap: VmaRemap) -> int:
    """Do the work of do_mremap(). Preconditions: mmap_lock held for write; parameters valid."""
    check_map_count_early(remap)
    _refuse_drivers(remap)
    # Only a move that keeps the length may concern several VMAs.
    moves = remap.flags & MREMAP_FIXED and remap.delta == 0
    if moves and remap.mm.release.has(MREMAP_OF_SEVERAL):
        return _move_all(remap)
    vma = check_prep_vma(remap, _lookup(remap.mm, remap.addr))
    if remap.names_place:
        return _mremap_to(remap)
    if remap.delta > 0:
        return _expand(remap, vma)
    # The range shrinks, or nothing changes, which is a success.
    if remap.delta < 0:
        do_munmap_locked(remap.mm, remap.addr + remap.new_len, -remap.delta)
    return remap.addr


def _refuse_drivers(remap: VmaRemap) -> None:
    """Refuse to grow, move or replace a driver's mapping.

    If the call neither grows nor moves a mapping, it does at most one munmap, which checks itself.

    Raises:
        NotModelledError: see driver.py.
    """
    mm, end = remap.mm, remap.addr + max(remap.old_len, PAGE_SIZE)
    if not mm.has_drivers or (remap.delta <= 0 and not remap.names_place):
        return
    refuse_drivers(mm, remap.addr, end, "mremap", past_holes=True)
    # The munmap at the new place covers whole pages of the moved mapping, huge ones on hugetlbfs.
    if remap.flags & MREMAP_FIXED:
        last = _lookup(mm, end - 1)
        page_size = PAGE_SIZE if last is None else vma_kernel_pagesize(last)
        new_end = remap.new_addr + remap.new_len + -remap.new_len % page_size
        refuse_drivers(mm, remap.new_addr, new_end, "mremap", past_holes=True)


def _move_all(remap: VmaRemap) -> int:
    """Move every VMA of the range, and keep the holes between them. Compare remap_move()."""
    mm, start, end = remap.mm, remap.addr, remap.addr + remap.old_len
    # Each VMA is a separate move: the VMAs moved before a failure stay moved.
    shift = remap.new_addr - start
    vma = _lookup(mm, start)
    first = True
    while first or (vma is not None and vma.vm_start < end):
        if vma is None:
            raise os_error(errno.EFAULT)
        # Such a VMA may move only if it is the only one.
        if not _moves_with_others(vma) and not (first and vma.vm_end >= end):
            raise os_error(errno.EFAULT)
        piece, piece_end = max(vma.vm_start, start), min(vma.vm_end, end)
        length = piece_end - piece
        one = VmaRemap(mm, piece, length, length, remap.flags, piece + shift)
        check_prep_vma(one, vma)
        _mremap_to(one)
        first = False
        # Look up by address: the moved VMA is gone, or has shrunk, or has merged at its new place.
        vma = mm.find_vma(piece_end) if piece_end < end else None
    return remap.new_addr


def _moves_with_others(vma: Vma) -> bool:
    """Return whether vma may be one of several that move: not if its file may decide the address.

    Compare mm/mremap.c:vma_multi_allowed().
    """
    file = vma.vm_file
    return file is None or not (file.is_zero or file.is_segment)


def _mremap_to(remap: VmaRemap) -> int:
    """Move to the given address. Compare mm/mremap.c:mremap_to()."""
    mm = remap.mm
    # The mappings at the new place go, even if the move fails after that.
    if remap.flags & MREMAP_FIXED:
        do_munmap_locked(mm, remap.new_addr, remap.new_len)
        if _lookup(mm, remap.addr) is None:
            raise os_error(errno.EFAULT)  # the old length wrapped and hid an overlap of the ranges
    # If the range shrinks, unmap its tail at the old place first. The rest then moves unchanged.
    if remap.delta < 0:
        do_munmap_locked(mm, remap.addr + remap.new_len, -remap.delta)
        remap.old_len = remap.new_len
    # Each munmap may have split the VMA that was checked.
    found = _lookup(mm, remap.addr)
    assert found is not None, "the unmapped tail begins above it"
    if not mm.release.has(MREMAP_CHECKS_FIRST):
        check_resize(remap, found)
    pages = remap.old_len >> PAGE_SHIFT
    if remap.keeps_source and not may_expand_vm(mm, found.vm_flags, pages):
        raise os_error(errno.ENOMEM)
    return _move_vma(remap, found)


def _expand(remap: VmaRemap, vma: Vma) -> int:
    """Grow in place if the range above is free, else move. Compare mm/mremap.c:expand_vma()."""
    if vma.vm_end - remap.addr == remap.old_len and _is_free(remap, vma):
        pages = remap.delta >> PAGE_SHIFT
        _check_commit(remap, vma, pages)
        new = replace(Attributes.of(vma, vma.vm_end), extends=True)
        following = remap.mm.find_vma(vma.vm_end)
        # Growing adds a new range that merges into vma, and also with the VMA after it if it closes
        # the hole. Like any merge, this is one store.
        flags, end = vma.vm_flags, vma.vm_end + remap.delta
        merged = vma_merge_new_range(remap.mm, vma, following, vma.vm_end, end, new)
        if merged is None:
            raise os_error(errno.ENOMEM)
        vma_account(remap.mm, flags, pages)
        return remap.addr
    # There is no room in place, or only a part of the VMA grows, so the range must move.
    if not remap.flags & MREMAP_MAYMOVE:
        raise os_error(errno.ENOMEM)
    return _move_vma(remap, vma)


def _is_free(remap: VmaRemap, vma: Vma) -> bool:
    end = vma.vm_end + remap.delta
    following = remap.mm.find_vma(vma.vm_end)
    return end <= remap.mm.task_size and (following is None or following.vm_start >= end)


def _check_commit(remap: VmaRemap, vma: Vma, pages: int) -> None:
    if vma.vm_flags & VM_ACCOUNT and not may_commit(remap.mm, pages):
        raise os_error(errno.ENOMEM)


def _move_vma(remap: VmaRemap, vma: Vma) -> int:
    """Copy the range to its new place and unmap the old one. Compare mm/mremap.c:move_vma()."""
    # Everything that can fail comes before the copy; nothing after it can fail.
    mm = remap.mm
    place = _new_place(remap, vma)
    _prep_move_vma(remap, vma)
    # Only added memory is charged, which is the whole copy if the source stays.
    _check_commit(remap, vma, (remap.new_len if remap.keeps_source else remap.delta) >> PAGE_SHIFT)
    # No fault may happen in the source while its pages move. copy_vma() locks the copy.
    vma_start_write(vma)
    flags = vma.vm_flags
    source, copy = copy_vma(
        mm, vma, remap.addr, place, remap.new_len, keeps_source=remap.keeps_source
    )
    # Until the munmap below, the tree has both. Both are write-locked, so a walk that finds one of
    # them waits for mmap_lock.
    if flags & VM_HUGETLB:
        move_huge_pages(vma, remap.addr, place, remap.old_len)
        # The copy has the reservations now. As in Linux, the rest of the source keeps none even if
        # only a part of it moved: its pages stay reserved in the pool for ever.
        source.resv_map = None
    else:
        move_page_tables(mm, remap.addr, place, remap.old_len)
    vma_account(mm, flags, remap.new_len >> PAGE_SHIFT)
    if remap.keeps_source:
        dontunmap_complete(remap, source, copy)
    elif remap.old_len:
        do_munmap_locked(mm, remap.addr, remap.old_len)
    return place


def _prep_move_vma(remap: VmaRemap, vma: Vma) -> None:
    """Check that vma can be copied and split, and split it if it must be before the move.

    Compare mm/mremap.c:prep_move_vma().
    """
    check_map_count(remap, vma)
    # If only a part moves, the final munmap splits the source. Check now whether it may be split,
    # while the call can still fail. The errno is the same for both edges, so their order does not
    # matter.
    start, end = remap.addr, remap.addr + remap.old_len
    for edge in {start, end} - {vma.vm_start, vma.vm_end}:
        check_may_split(vma, edge)
    if not splits_source(remap, vma):
        return
    if vma.vm_start < start:
        split_vma(remap.mm, vma, start, new_below=True)
    if end < vma.vm_end:
        split_vma(remap.mm, vma, end, new_below=False)


def _new_place(remap: VmaRemap, vma: Vma) -> int:
    # Choose the address as mmap would: it depends on the file, the offset and the kind of mapping.
    flags = MAP_FIXED if remap.flags & MREMAP_FIXED else 0
    flags |= MAP_SHARED if vma.vm_flags & VM_MAYSHARE else 0
    pgoff = vma.vm_pgoff + (remap.addr - vma.vm_start >> PAGE_SHIFT)
    hint = remap.new_addr if remap.names_place else 0
    return get_unmapped_area(remap.mm, vma.vm_file, hint, remap.new_len, pgoff, flags)
