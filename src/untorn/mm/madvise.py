"""Advice about a range: some of it changes VMA flags, and so splits and merges.

Compare mm/madvise.c:do_madvise(), madvise_vma_behavior().
"""

import errno
from collections.abc import Callable

from untorn.errors import os_error
from untorn.mm.mm_struct import MmStruct
from untorn.mm.mman import (
    MADV_COLD,
    MADV_DODUMP,
    MADV_DOFORK,
    MADV_DONTDUMP,
    MADV_DONTFORK,
    MADV_DONTNEED,
    MADV_DONTNEED_LOCKED,
    MADV_FREE,
    MADV_HUGEPAGE,
    MADV_KEEPONFORK,
    MADV_MERGEABLE,
    MADV_NOHUGEPAGE,
    MADV_NORMAL,
    MADV_PAGEOUT,
    MADV_RANDOM,
    MADV_SEQUENTIAL,
    MADV_UNMERGEABLE,
    MADV_WILLNEED,
    MADV_WIPEONFORK,
    VM_DONTCOPY,
    VM_DONTDUMP,
    VM_DROPPABLE,
    VM_HUGEPAGE,
    VM_IO,
    VM_LOCKED,
    VM_MAYSHARE,
    VM_MERGEABLE,
    VM_NOHUGEPAGE,
    VM_PFNMAP,
    VM_RAND_READ,
    VM_SEALED,
    VM_SEQ_READ,
    VM_SHARED,
    VM_SPECIAL,
    VM_WIPEONFORK,
    VM_WRITE,
)
from untorn.mm.mmap_lock import mmap_write_lock_killable, mmap_write_unlock
from untorn.mm.page import ULONG_MAX, page_align, page_aligned
from untorn.mm.pte_range import free_lazily, page_out
from untorn.mm.vma import Vma, vma_is_anonymous
from untorn.mm.vma_modify import vma_modify_flags

_FLAGS = {
    MADV_NORMAL: (VM_RAND_READ | VM_SEQ_READ, 0),
    MADV_RANDOM: (VM_SEQ_READ, VM_RAND_READ),
    MADV_SEQUENTIAL: (VM_RAND_READ, VM_SEQ_READ),
    MADV_DONTFORK: (0, VM_DONTCOPY),
    MADV_DOFORK: (VM_DONTCOPY, 0),
    MADV_WIPEONFORK: (0, VM_WIPEONFORK),
    MADV_KEEPONFORK: (VM_WIPEONFORK, 0),
    MADV_DONTDUMP: (0, VM_DONTDUMP),
    MADV_DODUMP: (VM_DONTDUMP, 0),
    MADV_MERGEABLE: (0, VM_MERGEABLE),
    MADV_UNMERGEABLE: (VM_MERGEABLE, 0),
    MADV_HUGEPAGE: (VM_NOHUGEPAGE, VM_HUGEPAGE),
    MADV_NOHUGEPAGE: (VM_HUGEPAGE, VM_NOHUGEPAGE),
}
"""VM_* bits that an advice clears and sets."""
_DISCARDS = (MADV_DONTNEED, MADV_DONTNEED_LOCKED, MADV_FREE, MADV_DONTFORK, MADV_WIPEONFORK)
_OF_PAGES = (
    MADV_WILLNEED,
    MADV_DONTNEED,
    MADV_DONTNEED_LOCKED,
    MADV_FREE,
    MADV_COLD,
    MADV_PAGEOUT,
)
"""Advice about pages: no VMA changes. WILLNEED and COLD change nothing that is modelled."""


def do_madvise(mm: MmStruct, start: int, length: int, advice: int) -> None:
    """Take advice about [start, start + length).

    Args:
        mm: The address space; its mmap_lock is taken for write.
        start: Byte address, a multiple of the page size.
        length: Bytes, rounded up to whole pages; 0 does nothing.
        advice: A MADV_* number.

    Raises:
        OSError: EINVAL for an unknown advice, an unaligned start, a range that wraps, or a VMA
            that the advice cannot be about; EPERM if it would discard sealed memory; EAGAIN if
            a split meets max_map_count; ENOMEM if part of the range is not mapped, after the
            rest was done; EINTR if the task is killed while it waits for the lock.

    Source: madvise(2); mm/madvise.c:do_madvise().
    """
    end = start + page_align(length)
    if advice not in _FLAGS and advice not in _OF_PAGES:
        raise os_error(errno.EINVAL)
    if not page_aligned(start) or (length and end == start) or end > ULONG_MAX:
        raise os_error(errno.EINVAL)
    if end == start:
        return
    mmap_write_lock_killable(mm)
    try:
        walk_vmas(mm, start, end, lambda vma, a, b: _advise_vma(mm, vma, a, b, advice))
    finally:
        mmap_write_unlock(mm)


def walk_vmas(mm: MmStruct, start: int, end: int, visit: Callable[[Vma, int, int], object]) -> None:
    """Visit each VMA in [start, end) with the part of it that lies there, in bytes.

    Preconditions: mmap_lock held for write.

    Raises:
        OSError: what visit() raises, at once; ENOMEM at the end if there was a hole.
    """
    hole = False
    while start < end:
        vma = mm.find_vma(start)
        if vma is None:
            raise os_error(errno.ENOMEM)
        hole = hole or vma.vm_start > start
        start = max(start, vma.vm_start)
        if start >= end:
            break
        piece_end = min(vma.vm_end, end)
        visit(vma, start, piece_end)
        start = piece_end
    if hole:
        raise os_error(errno.ENOMEM)


def _advise_vma(mm: MmStruct, vma: Vma, start: int, end: int, advice: int) -> None:
    if advice in _DISCARDS and _is_protected(vma):
        raise os_error(errno.EPERM)
    if not _suits(vma, advice):
        raise os_error(errno.EINVAL)
    if advice in _ON_PAGES:
        _ON_PAGES[advice](vma, start, end)
    if advice not in _FLAGS or (advice == MADV_MERGEABLE and vma.vm_flags & _NEVER_SAME):
        return
    cleared, added = _FLAGS[advice]
    flags = vma.vm_flags & ~cleared | added
    if flags == vma.vm_flags:
        return
    try:
        vma_modify_flags(mm, vma, start, end, flags)
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        raise os_error(errno.EAGAIN) from None  # as if memory were short for a moment


def _discard(vma: Vma, start: int, end: int) -> None:
    vma.vm_mm.page_table.clear(start, end)


_ON_PAGES: dict[int, Callable[[Vma, int, int], None]] = {
    MADV_DONTNEED: _discard,
    MADV_DONTNEED_LOCKED: _discard,
    MADV_FREE: free_lazily,
    MADV_PAGEOUT: page_out,
}


def _is_protected(vma: Vma) -> bool:
    """Say whether sealing forbids to discard: who could not write the pages may not drop them.

    Only of anonymous memory: those of a file, private ones too, are not protected.
    """
    return bool(vma.vm_flags & VM_SEALED) and vma_is_anonymous(vma) and not vma.vm_flags & VM_WRITE


_NEVER_SAME = VM_SHARED | VM_MAYSHARE | VM_SPECIAL | VM_DROPPABLE
"""VM_* bits of VMAs in which KSM does not look for pages alike."""
_UNSUITED = {
    MADV_DONTNEED: VM_LOCKED | VM_PFNMAP,
    MADV_DONTNEED_LOCKED: VM_PFNMAP,
    MADV_COLD: VM_LOCKED | VM_PFNMAP,
    MADV_PAGEOUT: VM_LOCKED | VM_PFNMAP,
    MADV_FREE: VM_LOCKED | VM_PFNMAP,
    MADV_DOFORK: VM_IO,
    MADV_WIPEONFORK: VM_SHARED,
    MADV_KEEPONFORK: VM_DROPPABLE,
    MADV_DODUMP: VM_SPECIAL | VM_DROPPABLE,
}
"""VM_* bits of VMAs that an advice cannot be about."""


def _suits(vma: Vma, advice: int) -> bool:
    if advice == MADV_FREE and not vma_is_anonymous(vma):
        return False
    if advice == MADV_WIPEONFORK and vma.vm_file is not None:
        return False
    return not vma.vm_flags & _UNSUITED.get(advice, 0)
