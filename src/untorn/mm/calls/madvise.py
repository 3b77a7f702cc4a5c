"""Advice about a range: some of it changes VMA flags, and so splits and merges.

What is only about pages needs mmap_lock for reading, or no more than the lock of the one VMA that
the range lies in. Compare mm/madvise.c:do_madvise(), get_lock_mode(), madvise_walk_vmas().
"""

import errno
from collections.abc import Callable

from untorn.errors import os_error
from untorn.maps.page import ULONG_MAX, page_align, page_aligned
from untorn.mm.calls.madvise_check import check_advice, check_seals
from untorn.mm.calls.madvise_flags import ADVICE_FLAGS, change_flags
from untorn.mm.calls.madvise_page import ADVICE_PAGES
from untorn.mm.mm_types import MmStruct, Vma, vma_is_anonymous
from untorn.mm.mman import (
    MADV_DONTNEED,
    MADV_DONTNEED_LOCKED,
    MADV_FREE,
    MADV_GUARD_INSTALL,
    MADV_GUARD_REMOVE,
    MADV_POPULATE_READ,
    MADV_POPULATE_WRITE,
)
from untorn.mm.mmap_lock import (
    mmap_read_lock_killable,
    mmap_read_unlock,
    mmap_write_lock_killable,
    mmap_write_unlock,
)
from untorn.mm.pages.gup import faultin_page_range
from untorn.mm.vma_lock import vma_end_read
from untorn.mm.vma_lookup import lock_vma_under_rcu
from untorn.mm.vmas.driver import has_driver, refuse_drivers
from untorn.releases.changes import (
    ADVICE_PER_VMA,
    GUARD_REGIONS,
    GUARDS_PER_VMA,
    POPULATE_ENDS_AT_HOLE,
)

_POPULATE = (MADV_POPULATE_READ, MADV_POPULATE_WRITE)
_UNDER_VMA_LOCK = {
    MADV_DONTNEED: ADVICE_PER_VMA,
    MADV_DONTNEED_LOCKED: ADVICE_PER_VMA,
    MADV_FREE: ADVICE_PER_VMA,
    MADV_GUARD_INSTALL: GUARDS_PER_VMA,
    MADV_GUARD_REMOVE: GUARDS_PER_VMA,
}
"""Advice for which the lock of one VMA is enough, and since which change it is."""


def do_madvise(mm: MmStruct, start: int, length: int, advice: int) -> None:
    """Take advice about [start, start + length).

    Args:
        mm: The address space; its mmap_lock, or a VMA's lock, is taken.
        start: Byte address, a multiple of the page size.
        length: Bytes, rounded up to whole pages; 0 does nothing.
        advice: A MADV_* number.

    Raises:
        OSError: EINVAL for an unknown advice, an unaligned start, a range that wraps, or a VMA
            that the advice cannot be about; EPERM if it would discard sealed memory; EACCES for
            MADV_REMOVE of what is not shared and writable; EAGAIN if a split meets
            max_map_count; ENOMEM if part of the range is not mapped, after the rest was done;
            EFAULT if a page cannot be populated; EINTR if the task is killed while it waits for
            the lock.
        NotModelledError: The range comes to a driver's mapping; see driver.py.

    Source: madvise(2); mm/madvise.c:do_madvise().
    """
    end = start + page_align(length)
    if not _is_known(mm, advice):
        raise os_error(errno.EINVAL)
    if not page_aligned(start) or (length and end == start) or end > ULONG_MAX:
        raise os_error(errno.EINVAL)
    if end == start:
        return
    # Each kind takes the weakest lock that does: mmap_lock for write to split and merge, for read
    # to change pages, and only a VMA's lock where one VMA is all there is to it.
    if advice in _POPULATE:
        _populate(mm, start, end, advice)
    elif advice in ADVICE_FLAGS:
        _advise_flags(mm, start, end, advice)
    elif not (_may_lock_vma(mm, advice) and _advise_one_vma(mm, start, end, advice)):
        _advise_pages(mm, start, end, advice)


def _is_known(mm: MmStruct, advice: int) -> bool:
    if advice in (MADV_GUARD_INSTALL, MADV_GUARD_REMOVE):
        return mm.release.has(GUARD_REGIONS)
    return advice in ADVICE_FLAGS or advice in ADVICE_PAGES or advice in _POPULATE


def walk_vmas(
    mm: MmStruct,
    start: int,
    end: int,
    visit: Callable[[Vma, int, int], object],
    *,
    past_holes: bool = True,
) -> None:
    """Visit each VMA in [start, end) with the part of it that lies there, in bytes.

    Preconditions: mmap_lock held, for write if visit() changes VMAs.

    Raises:
        OSError: what visit() raises, at once; ENOMEM for a gap, at the end if past_holes.
    """
    # A gap does not end the walk, but the error comes: the advice is taken as far as possible.
    gap = False
    while start < end:
        vma = mm.find_vma(start)
        if vma is None:
            raise os_error(errno.ENOMEM)
        gap = gap or vma.vm_start > start
        start = max(start, vma.vm_start)
        if start >= end or (gap and not past_holes):
            break
        piece_end = min(vma.vm_end, end)
        # visit() may split the VMA or merge it away; the next one is looked up by address.
        visit(vma, start, piece_end)
        start = piece_end
    if gap:
        raise os_error(errno.ENOMEM)


def _advise_flags(mm: MmStruct, start: int, end: int, advice: int) -> None:
    def visit(vma: Vma, start: int, end: int) -> None:
        check_advice(vma, start, advice)
        change_flags(vma, start, end, advice)

    mmap_write_lock_killable(mm)
    try:
        refuse_drivers(mm, start, end, "madvise", past_holes=True)
        check_seals(mm, start, end, advice)
        walk_vmas(mm, start, end, visit)
    finally:
        mmap_write_unlock(mm)


def _populate(mm: MmStruct, start: int, end: int, advice: int) -> None:
    write = advice == MADV_POPULATE_WRITE
    past_holes = not mm.release.has(POPULATE_ENDS_AT_HOLE)

    def visit(vma: Vma, start: int, end: int) -> None:
        faultin_page_range(vma, start, end, write=write)

    mmap_read_lock_killable(mm)
    try:
        refuse_drivers(mm, start, end, "madvise", past_holes=past_holes)
        walk_vmas(mm, start, end, visit, past_holes=past_holes)
    finally:
        mmap_read_unlock(mm)


def _advise_pages(mm: MmStruct, start: int, end: int, advice: int) -> None:
    # Faults go on meanwhile: a page that is discarded may be back at once. It is up to the program
    # not to touch it.
    mmap_read_lock_killable(mm)
    try:
        refuse_drivers(mm, start, end, "madvise", past_holes=True)
        check_seals(mm, start, end, advice)
        walk_vmas(mm, start, end, lambda vma, a, b: _advise_vma_pages(vma, a, b, advice))
    finally:
        mmap_read_unlock(mm)


def _may_lock_vma(mm: MmStruct, advice: int) -> bool:
    """Compare mm/madvise.c:get_lock_mode()."""
    since = _UNDER_VMA_LOCK.get(advice)
    return since is not None and mm.release.has(since)


def _advise_one_vma(mm: MmStruct, start: int, end: int, advice: int) -> bool:
    """Do it under a VMA's lock, if all of the range lies in one that can be locked.

    It is not done if that has a driver.
    """
    # Never waits for a writer elsewhere in the address space. False sends the caller to mmap_lock.
    vma = lock_vma_under_rcu(mm, start)
    if vma is None:
        return False
    try:
        # The lock keeps this VMA still and no other. Nothing is done by halves: under mmap_lock all
        # of the range is begun anew.
        if not _is_vma_lock_sufficient(vma, end, advice):
            return False
        _advise_vma_pages(vma, start, end, advice)
        return True
    finally:
        vma_end_read(vma)


def _is_vma_lock_sufficient(vma: Vma, end: int, advice: int) -> bool:
    """Preconditions: vma read-locked. Compare mm/madvise.c:is_vma_lock_sufficient()."""
    if end > vma.vm_end or has_driver(vma):
        return False
    # A first anon_vma may be a neighbour's, and only mmap_lock keeps neighbours still. If another
    # task sets it just now, mmap_lock is taken in vain.
    prepares = advice == MADV_GUARD_INSTALL and vma_is_anonymous(vma)
    return not prepares or vma.anon_vma is not None


def _advise_vma_pages(vma: Vma, start: int, end: int, advice: int) -> None:
    """Preconditions: vma kept still, by its lock or mmap_lock."""
    # Checked under the lock under which the pages change, so what is found still holds.
    check_advice(vma, start, advice)
    ADVICE_PAGES[advice](vma, start, end)
