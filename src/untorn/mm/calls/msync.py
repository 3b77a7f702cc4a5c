"""Write back the shared file mappings of a range. Compare mm/msync.c."""

import errno
from typing import NamedTuple

from untorn.errors import os_error
from untorn.maps.page import PAGE_SIZE, ULONG_MAX, page_align
from untorn.mm.filemap import AddressSpace
from untorn.mm.mm_types import MmStruct
from untorn.mm.mman import MS_ASYNC, MS_INVALIDATE, MS_SYNC, VM_LOCKED, VM_SHARED
from untorn.mm.mmap_lock import mmap_read_lock, mmap_read_unlock
from untorn.mm.vmas.driver import refuse_driver

_SYNC_EITHER_WAY = MS_ASYNC | MS_SYNC


class _Part(NamedTuple):
    """The first VMA from an address on: its end, whether a hole is before it, and its file."""

    end: int
    after_hole: bool
    mapping: AddressSpace | None


def do_msync(mm: MmStruct, start: int, length: int, flags: int) -> None:
    """Write back the files that are mapped shared in [start, start + length).

    Args:
        mm: The address space; its mmap_lock is taken for read, and not held while writing.
        start: Byte address.
        length: Bytes, rounded up to whole pages.
        flags: MS_ASYNC, which does nothing, or MS_SYNC, each optionally with MS_INVALIDATE.

    Raises:
        OSError: EINVAL for other flags, for MS_ASYNC and MS_SYNC together, or if start is not
            aligned; ENOMEM for a range that wraps or has holes (the rest is written nevertheless,
            unless flags are MS_ASYNC); EBUSY with MS_INVALIDATE if memory is locked.
        NotModelledError: MS_SYNC reaches a driver's mapping; see driver.py.

    Source: msync(2); mm/msync.c.
    """
    if flags & ~(_SYNC_EITHER_WAY | MS_INVALIDATE) or start % PAGE_SIZE:
        raise os_error(errno.EINVAL)
    if flags & _SYNC_EITHER_WAY == _SYNC_EITHER_WAY:
        raise os_error(errno.EINVAL)
    end = start + (page_align(length) & ULONG_MAX)
    if end > ULONG_MAX:
        raise os_error(errno.ENOMEM)
    has_holes = False
    while start < end:
        part = _next_part(mm, start, end, flags)
        start, has_holes = part.end, has_holes or part.after_hole
        if part.mapping is not None:
            part.mapping.write_back()
    if has_holes:
        raise os_error(errno.ENOMEM)


def _next_part(mm: MmStruct, start: int, end: int, flags: int) -> _Part:
    """Return the first VMA of [start, end) as a part. Raise as do_msync()."""
    mmap_read_lock(mm)
    try:
        vma = mm.find_vma(start)
        if vma is None or vma.vm_start >= end or (vma.vm_start > start and flags == MS_ASYNC):
            raise os_error(errno.ENOMEM)
        if flags & MS_INVALIDATE and vma.vm_flags & VM_LOCKED:
            raise os_error(errno.EBUSY)
        file = vma.vm_file if flags & MS_SYNC and vma.vm_flags & VM_SHARED else None
        if file is not None:
            refuse_driver(vma, "msync")
        return _Part(vma.vm_end, vma.vm_start > start, None if file is None else file.mapping)
    finally:
        mmap_read_unlock(mm)
