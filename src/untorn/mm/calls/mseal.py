"""Seal a range, so that its VMAs can no longer be unmapped, replaced or given other attributes.

Compare mm/mseal.c:do_mseal().
"""

import errno

from untorn.errors import os_error
from untorn.maps.page import ULONG_MAX, page_align, page_aligned
from untorn.mm.mm_types import MmStruct
from untorn.mm.mman import VM_SEALED
from untorn.mm.mmap_lock import mmap_write_lock_killable, mmap_write_unlock
from untorn.mm.vmas.driver import refuse_cut
from untorn.mm.vmas.modify import vma_modify_flags
from untorn.releases.changes import MSEAL


def do_mseal(mm: MmStruct, start: int, length: int, flags: int) -> None:
    """Seal [start, start + length), which must have no holes.

    Args:
        mm: The address space; its mmap_lock is taken for write.
        start: Byte address, a multiple of the page size.
        length: Bytes, rounded up to whole pages; 0 does nothing.
        flags: Must be 0.

    Raises:
        OSError: ENOSYS if the release has no such call; EINVAL for flags, an unaligned start or a
            range that wraps; ENOMEM if the range has a hole (nothing is sealed then) or a split
            would exceed max_map_count; EINTR if the task is killed while it waits for the lock.
        NotModelledError: The range ends inside a driver's mapping; see driver.py.

    Source: mseal(2); mm/mseal.c:do_mseal().
    """
    if not mm.release.has(MSEAL):
        raise os_error(errno.ENOSYS)
    if flags or not page_aligned(start):
        raise os_error(errno.EINVAL)
    end = start + page_align(length)
    if end > ULONG_MAX or (length and end == start):
        raise os_error(errno.EINVAL)
    if end == start:
        return
    mmap_write_lock_killable(mm)
    # Walk twice, so that a range with a hole is refused before anything is sealed.
    try:
        _check_no_hole(mm, start, end)
        refuse_cut(mm, start, end, "mseal")
        _seal(mm, start, end)
    finally:
        mmap_write_unlock(mm)


def _check_no_hole(mm: MmStruct, start: int, end: int) -> None:
    while start < end:
        vma = mm.find_vma(start)
        if vma is None or vma.vm_start > start:
            raise os_error(errno.ENOMEM)
        start = vma.vm_end


def _seal(mm: MmStruct, start: int, end: int) -> None:
    while start < end:
        vma = mm.find_vma(start)
        assert vma is not None, "the range has no holes"
        piece_end = min(vma.vm_end, end)
        # No call ever clears the flag, so it stays even if a later split fails.
        if not vma.vm_flags & VM_SEALED:
            vma_modify_flags(mm, vma, start, piece_end, vma.vm_flags | VM_SEALED)
        start = piece_end
