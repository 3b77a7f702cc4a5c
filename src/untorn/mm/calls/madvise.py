"""Take advice about a range. Some advice changes VMA flags, and so splits and merges VMAs.

Advice that only concerns pages needs mmap_lock for reading, or just the lock of the one VMA that
contains the range. Compare mm/madvise.c:do_madvise(), get_lock_mode(), madvise_walk_vmas().
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
"""The advice for which the lock of one VMA is enough, and the change since which it is."""


def do_madvise(mm: MmStruct, start: int, length: int, advice: int) -> None:
    """Take advice about [start, start + length).

    Args:
        mm: The address space; its mmap_lock, or a VMA's lock, is taken.
        start: Byte address, a multiple of the page size.
        length: Bytes, rounded up to whole pages; 0 does nothing.
        advice: A MADV_* number.

    Raises:
        OSError: EINVAL for unknown advice, an unaligned start, a range that wraps, or a VMA that
            does not allow the advice; EPERM if it would discard sealed memory; EACCES for
            MADV_REMOVE of memory that is not shared and writable; EAGAIN if a split would exceed
            max_map_count; ENOMEM if the range has a hole, after the rest was done; EFAULT if a
            page cannot be populated; EINTR if the task is killed while it waits for the lock.
        NotModelledError: The range reaches a driver's mapping; see driver.py.

    Source: madvise(2); mm/madvise.c:do_madvise().
    """
    end = start + page_align(length)
    if not _is_known(mm, advice):
        raise os_error(errno.EINVAL)
    if not page_aligned(start) or (length and end == start) or end > ULONG_MAX:
        raise os_error(errno.EINVAL)
    if end == start:
        return
    # Each kind of advice takes the weakest lock that is enough: mmap_lock for write to split and
    # merge VMAs, mmap_lock for read to change pages, and only a VMA lock if one VMA is concerned.
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
    """Call visit() for each VMA in [start, end), with the bounds of its part there in bytes.

    Preconditions: mmap_lock held, for write if visit() changes VMAs.

    Raises:
        OSError: what visit() raises, at once; ENOMEM for a hole, at the end if past_holes.
    """
    # With past_holes a hole does not end the walk: the advice is taken as far as possible before
    # the error is raised.
    hole = False
    while start < end:
        vma = mm.find_vma(start)
        if vma is None:
            raise os_error(errno.ENOMEM)
        hole = hole or vma.vm_start > start
        start = max(start, vma.vm_start)
        if start >= end or (hole and not past_holes):
            break
        piece_end = min(vma.vm_end, end)
        # visit() may split the VMA or merge it away, so look up the next one by address.
        visit(vma, start, piece_end)
        start = piece_end
    if hole:
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
    # Faults go on meanwhile, so a discarded page may be back at once if the program touches it.
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
    """Take the advice under a VMA lock, if one VMA contains the whole range and can be locked.

    Return False without doing anything if that is not so, or if the VMA has a driver.
    """
    # This never waits for a writer elsewhere in the address space. After False the caller takes
    # mmap_lock.
    vma = lock_vma_under_rcu(mm, start)
    if vma is None:
        return False
    try:
        # Only this VMA is stable, so do all of the range or nothing. Under mmap_lock the caller
        # starts the range from the beginning.
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
    # A first anon_vma may be a neighbour's, and neighbours are stable only under mmap_lock. If
    # another task sets it right now, taking mmap_lock is needless but harmless.
    prepares = advice == MADV_GUARD_INSTALL and vma_is_anonymous(vma)
    return not prepares or vma.anon_vma is not None


def _advise_vma_pages(vma: Vma, start: int, end: int, advice: int) -> None:
    """Preconditions: vma stable: read-locked, or mmap_lock held."""
    # Check under the same hold of the lock as the pages change, so that the result still holds.
    check_advice(vma, start, advice)
    ADVICE_PAGES[advice](vma, start, end)
