"""Name anonymous memory. Compare kernel/sys.c:prctl_set_vma(), mm/madvise.c."""

import errno

from untorn.errors import os_error
from untorn.maps.page import ULONG_MAX, page_align, page_aligned
from untorn.mm.calls.madvise import walk_vmas
from untorn.mm.file import VmFile
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mmap_lock import mmap_write_lock_killable, mmap_write_unlock
from untorn.mm.vmas.modify import vma_modify_name
from untorn.releases.changes import SHMEM_NAMED

ANON_VMA_NAME_MAX_LEN = 80
"""Bytes, including the final NUL. Source: include/uapi/linux/prctl.h."""
_FORBIDDEN = b"\\`$[]"


def set_anon_name(mm: MmStruct, start: int, length: int, name: bytes | None) -> None:
    """Name the anonymous memory in [start, start + length). None removes the name.

    Args:
        mm: The address space; its mmap_lock is taken for write.
        start: Byte address, a multiple of the page size.
        length: Bytes, rounded up to whole pages; 0 does nothing.
        name: At most 79 printable ASCII characters, but no backslash, ` $ [ or ].

    Raises:
        OSError: EINVAL if the kernel does not support names (Limits.anon_vma_name), for a bad name,
            an unaligned start or a range that wraps; EBADF for a mapped file; EAGAIN if a split
            would exceed max_map_count; ENOMEM if the range has a hole, after the rest was named;
            EINTR if the task is killed while it waits.

    Source: prctl(2), PR_SET_VMA_ANON_NAME.
    """
    end = start + page_align(length)
    valid_range = page_aligned(start) and (end > start or not length) and end <= ULONG_MAX
    valid = valid_range and (name is None or _is_valid(name))
    if not (valid and mm.limits.anon_vma_name):
        raise os_error(errno.EINVAL)
    if end == start:
        return
    mmap_write_lock_killable(mm)
    try:
        walk_vmas(mm, start, end, lambda vma, a, b: _name_vma(mm, vma, a, b, name))
    finally:
        mmap_write_unlock(mm)


def _is_valid(name: bytes) -> bool:
    printable = all(0x1F < char < 0x7F and char not in _FORBIDDEN for char in name)
    return printable and len(name) < ANON_VMA_NAME_MAX_LEN


def _is_nameable(file: VmFile, mm: MmStruct) -> bool:
    return file.is_anon_shmem and mm.release.has(SHMEM_NAMED)


def _name_vma(mm: MmStruct, vma: Vma, start: int, end: int, name: bytes | None) -> None:
    if vma.vm_file is not None and not _is_nameable(vma.vm_file, mm):
        raise os_error(errno.EBADF)
    if vma.anon_name == name:
        return
    # VMAs with different names do not merge, so naming splits and merges VMAs as flags do.
    try:
        vma_modify_name(mm, vma, start, end, name)
    except OSError:
        raise os_error(errno.EAGAIN) from None  # as if memory were short for a moment
