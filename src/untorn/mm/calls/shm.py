"""Attach and detach segments of System V shared memory.

Compare ipc/shm.c:do_shmat(), ksys_shmdt().
"""

import errno
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count

from untorn.errors import os_error
from untorn.maps.page import PAGE_SHIFT, PAGE_SIZE, ULONG_MAX, page_align
from untorn.mm.calls.mmap import mmap_locked
from untorn.mm.calls.munmap import do_munmap_locked
from untorn.mm.file import SHMEM_DEVICE, VmFile, VmOperations
from untorn.mm.filemap import AddressSpace
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mman import (
    MAP_FIXED,
    MAP_SHARED,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    VM_LOCKED,
)
from untorn.mm.mmap_lock import mmap_write_lock_killable, mmap_write_unlock
from untorn.mm.pages.gup import mm_populate

SHM_RDONLY = 0o10000
SHM_RND = 0o20000
SHM_REMAP = 0o40000
SHM_EXEC = 0o100000
SHM_OPS = VmOperations(b"", has_close=True)
"""The operations of every VMA that maps a segment. Their close operation counts attachments."""
_shmids = count()  # next() of a count is atomic on every build


@dataclass(frozen=True, slots=True)
class ShmSegment:
    """A segment. Each attachment opens its file again.

    Attributes:
        size: Bytes.
        key: The key that names it to other processes; 0 is IPC_PRIVATE.
        shmid: The number of its inode.
        mapping: Its pages.
        granted: The access that an attaching process has: rwx bits, as in a mode.
    """

    size: int
    key: int = 0
    shmid: int = field(default_factory=lambda: next(_shmids))
    mapping: AddressSpace = field(default_factory=lambda: AddressSpace(shmem=True))
    granted: int = 0o7

    def open(self) -> VmFile:
        """Open the segment's file."""
        path = b"/SYSV%08x (deleted)" % self.key
        return VmFile(
            path,
            SHMEM_DEVICE,
            self.shmid,
            self.size,
            is_segment=True,
            vm_ops=SHM_OPS,
            mapping=self.mapping,
        )


def do_shmat(mm: MmStruct, segment: ShmSegment, addr: int, flags: int) -> int:
    """Attach a segment. Return its byte address.

    Args:
        mm: The address space; its mmap_lock is taken for write.
        segment: The segment, which is attached as a whole.
        addr: Byte address, or 0 for any.
        flags: SHM_* bits.

    Raises:
        OSError: EACCES if flags ask for access that is not granted; EINVAL if addr is not aligned
            and SHM_RND is not set, if something is mapped there and SHM_REMAP is not set, or if
            SHM_REMAP is set without an address; otherwise as mmap(2).

    Source: shmat(2).
    """
    # An address that is rounded down to 0 still counts as a fixed one.
    map_flags = MAP_SHARED | (MAP_FIXED if addr else 0)
    if addr % PAGE_SIZE and flags & SHM_RND:
        addr &= -PAGE_SIZE
    if addr % PAGE_SIZE or (not addr and flags & SHM_REMAP):
        raise os_error(errno.EINVAL)
    prot = PROT_READ if flags & SHM_RDONLY else PROT_READ | PROT_WRITE
    prot |= PROT_EXEC if flags & SHM_EXEC else 0
    if _wanted(flags) & ~segment.granted:
        raise os_error(errno.EACCES)
    # Each attachment has its own open file, so two of them never merge, and shmdt can tell them
    # apart.
    file = replace(segment.open(), writable=not flags & SHM_RDONLY)
    mmap_write_lock_killable(mm)
    try:
        if addr and not flags & SHM_REMAP and _is_taken(mm, addr, segment.size):
            raise os_error(errno.EINVAL)
        addr = mmap_locked(mm, addr, segment.size, prot, map_flags, file, 0)
        locked = mm.def_flags & VM_LOCKED
    finally:
        mmap_write_unlock(mm)
    if locked:
        mm_populate(mm, addr, addr + page_align(segment.size))
    return addr


def do_shmdt(mm: MmStruct, addr: int) -> None:
    """Detach whatever is left of the segment that was attached at byte address addr.

    Raises:
        OSError: EINVAL if no segment was attached there, or addr is not aligned.

    Source: shmdt(2).
    """
    if addr % PAGE_SIZE:
        raise os_error(errno.EINVAL)
    mmap_write_lock_killable(mm)
    try:
        _detach(mm, addr)
    finally:
        mmap_write_unlock(mm)


def _wanted(flags: int) -> int:
    return (0o4 if flags & SHM_RDONLY else 0o6) | (0o1 if flags & SHM_EXEC else 0)


def _is_taken(mm: MmStruct, addr: int, size: int) -> bool:
    vma = mm.find_vma(addr)
    return addr + size > ULONG_MAX or (vma is not None and vma.vm_start < addr + size)


def _detach(mm: MmStruct, addr: int) -> None:
    """Unmap all VMAs whose distance from addr is their offset in the segment.

    The first such VMA decides the segment; only VMAs of the same attachment follow.

    Preconditions: mmap_lock held for write.
    """
    file: VmFile | None = None
    vma = mm.find_vma(addr)
    while vma is not None and (file is None or vma.vm_end - addr <= page_align(file.size)):
        # Load these before vma is unmapped: after that, the object may be recycled.
        start, end = vma.vm_start, vma.vm_end
        if _is_attached_at(vma, addr) and (file is None or vma.vm_file is file):
            file = vma.vm_file
            with suppress(OSError):  # a sealed VMA stays
                do_munmap_locked(mm, start, end - start)
        vma = mm.find_vma(end)
    if file is None:
        raise os_error(errno.EINVAL)


def _is_attached_at(vma: Vma, addr: int) -> bool:
    return vma.vm_ops is SHM_OPS and vma.vm_start - addr >> PAGE_SHIFT == vma.vm_pgoff
