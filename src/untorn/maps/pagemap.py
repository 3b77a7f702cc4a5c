"""What /proc tells of pages: entries of pagemap, kpagecount and kpageflags, and PAGEMAP_SCAN.

For the engine's files and for the reader of live processes.
Source: Documentation/admin-guide/mm/pagemap.rst; include/uapi/linux/fs.h, struct pm_scan_arg;
include/uapi/linux/kernel-page-flags.h; fs/proc/task_mmu.c; PAGEMAP_SCAN(2const).
"""

import struct
from typing import NamedTuple, Protocol, Self

ENTRY_SIZE = 8
"""Bytes of an entry: a number of 64 bits, little-endian."""

PM_PRESENT = 1 << 63
PM_SWAP = 1 << 62
"""In swap; also set where PM_GUARD_REGION is, though nothing is in swap there."""
PM_FILE = 1 << 61
"""A page of a file, or of shared anonymous memory."""
PM_GUARD_REGION = 1 << 58
"""Since Linux 6.15."""
PM_UFFD_WP = 1 << 57
"""Write-protected by userfaultfd."""
PM_MMAP_EXCLUSIVE = 1 << 56
"""Mapped here and nowhere else."""
PM_PFRAME_MASK = (1 << 55) - 1
"""Of a present page the number of its frame (PFN); 0 for who may not see it."""

KPF_DIRTY = 1 << 4
KPF_MMAP = 1 << 11
KPF_ANON = 1 << 12
KPF_SWAPBACKED = 1 << 14
KPF_COMPOUND_TAIL = 1 << 16
KPF_KSM = 1 << 21
KPF_ZERO_PAGE = 1 << 24
KPF_ANON_EXCLUSIVE = 1 << 34
"""Of an anonymous page: of one process alone, which holds for all of a huge page that is mapped
by one entry. Not documented; so in Linux 5.19 to 7.3, where it is the flag PG_mappedtodisk, which
other pages use. Source: include/linux/page-flags.h, include/linux/kernel-page-flags.h."""

PAGEMAP_SCAN = 0xC0606610
"""The ioctl's number: _IOWR('f', 16, struct pm_scan_arg)."""
PM_SCAN_WP_MATCHING = 1 << 0
PM_SCAN_CHECK_WPASYNC = 1 << 1
VALID_SCAN_FLAGS = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC

PAGE_IS_WPALLOWED = 1 << 0
PAGE_IS_WRITTEN = 1 << 1
PAGE_IS_FILE = 1 << 2
PAGE_IS_PRESENT = 1 << 3
PAGE_IS_SWAPPED = 1 << 4
PAGE_IS_PFNZERO = 1 << 5
PAGE_IS_HUGE = 1 << 6
PAGE_IS_SOFT_DIRTY = 1 << 7
PAGE_IS_GUARD = 1 << 8
"""Since Linux 6.16."""
VALID_CATEGORIES = (1 << 9) - 1
PAGE_IS_ACCESSED = 1 << 9
"""Since Linux 7.3; of a VMA of which userfaultfd tracks accesses."""

_ARG = struct.Struct("=12Q")
_REGION = struct.Struct("=3Q")
ARG_SIZE = _ARG.size
"""Bytes of struct pm_scan_arg (96)."""
WALK_END_OFFSET = 32
"""Bytes before its field walk_end, the only one that the kernel writes."""
REGION_SIZE = _REGION.size
"""Bytes of struct page_region (24)."""


class PmScanArg(NamedTuple):
    """One struct pm_scan_arg: which pages of a range are wanted, and what is to be told of them.

    A page is wanted if, after category_inverted was taken as an exclusive or of its categories, it
    has all of category_mask and, if that is not 0, one of category_anyof_mask.
    """

    start: int
    """Byte address, a multiple of the page size."""
    end: int
    """Byte address, exclusive."""
    category_mask: int = 0
    category_anyof_mask: int = 0
    return_mask: int = VALID_CATEGORIES
    """Categories that are told."""
    category_inverted: int = 0
    max_pages: int = 0
    """Most pages that are told of; 0: any number."""
    vec_len: int = 512
    """Most regions that are told."""
    vec: int = 0
    """Byte address of the caller's buffer for regions."""
    walk_end: int = 0
    """Byte address that the scan came to."""
    flags: int = 0
    size: int = ARG_SIZE

    def pack(self) -> bytes:
        """Return the struct's ARG_SIZE bytes."""
        return _ARG.pack(
            *(self.size, self.flags, self.start, self.end, self.walk_end),
            *(self.vec, self.vec_len, self.max_pages),
            *(self.category_inverted, self.category_mask),
            *(self.category_anyof_mask, self.return_mask),
        )

    @classmethod
    def unpack(cls, data: bytes | bytearray) -> Self:
        """Read the struct from its ARG_SIZE bytes."""
        size, flags, start, end, walk_end, vec, vec_len, pages, *masks = _ARG.unpack(data)
        inverted, mask, anyof, told = masks
        return cls(
            *(start, end, mask, anyof, told, inverted, pages),
            *(vec_len, vec, walk_end, flags, size),
        )


class PageRegion(NamedTuple):
    """One struct page_region: neighbouring pages that the same is told of."""

    start: int
    """Byte address."""
    end: int
    """Byte address, exclusive."""
    categories: int
    """PAGE_IS_* bits, of those in return_mask."""

    def pack(self) -> bytes:
        """Return the struct's REGION_SIZE bytes."""
        return _REGION.pack(*self)

    @classmethod
    def unpack_all(cls, data: bytes) -> list[Self]:
        """Read regions that stand one after the other."""
        return [cls._make(fields) for fields in _REGION.iter_unpack(data)]


class PageScan(NamedTuple):
    """What a scan found."""

    regions: list[PageRegion]
    """In address order; neighbours differ in their categories."""
    walk_end: int
    """Byte address that it came to: below the end asked for if vec_len or max_pages was too small.

    Of more than 512 regions it may be below the end although all of the range was scanned.
    """


class EntryFile(Protocol):
    """An open file of entries: kpagecount, kpageflags, and pagemap with its scan."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Return the entries from a byte offset on, at most size bytes; b"" at the end.

        Raises:
            OSError: EINVAL if offset or size is no multiple of ENTRY_SIZE; EINTR if the caller is
                being killed.
        """


class PagemapFile(EntryFile, Protocol):
    """An open /proc/PID/pagemap: the entry of byte address a stands at a // PAGE_SIZE * 8."""

    def scan(self, question: PmScanArg) -> PageScan:
        """Answer a PAGEMAP_SCAN; the buffer is made as large as vec_len says.

        Raises:
            OSError: EINVAL for an unknown flag or category, or a start that is not aligned; EFAULT
                if the range is not of user space; EPERM as PM_SCAN_CHECK_WPASYNC asks for it; EINTR
                if the caller is being killed.
        """

    def close(self) -> None:
        """Release the file; once is enough, twice does no harm."""
