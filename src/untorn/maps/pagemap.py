"""The formats of /proc about pages: entries of pagemap, kpagecount and kpageflags, PAGEMAP_SCAN.

The engine's files and the reader of live processes use them.
Source: Documentation/admin-guide/mm/pagemap.rst; include/uapi/linux/fs.h, struct pm_scan_arg;
include/uapi/linux/kernel-page-flags.h; fs/proc/task_mmu.c; PAGEMAP_SCAN(2const).
"""

import struct
from typing import NamedTuple, Protocol, Self

ENTRY_SIZE = 8
"""The size of an entry in bytes. It is a little-endian 64-bit number."""

PM_PRESENT = 1 << 63
PM_SWAP = 1 << 62
"""The page is in swap. Also set together with PM_GUARD_REGION, where nothing is in swap."""
PM_FILE = 1 << 61
"""The page belongs to a file or to shared anonymous memory."""
PM_GUARD_REGION = 1 << 58
"""A guard, since Linux 6.15."""
PM_UFFD_WP = 1 << 57
"""Userfaultfd has write-protected the page."""
PM_MMAP_EXCLUSIVE = 1 << 56
"""The page is mapped here and nowhere else."""
PM_PFRAME_MASK = (1 << 55) - 1
"""The frame number (PFN) of a present page; 0 for a reader that may not see it."""

KPF_DIRTY = 1 << 4
KPF_MMAP = 1 << 11
KPF_ANON = 1 << 12
KPF_SWAPBACKED = 1 << 14
KPF_COMPOUND_TAIL = 1 << 16
KPF_KSM = 1 << 21
KPF_ZERO_PAGE = 1 << 24
KPF_ANON_EXCLUSIVE = 1 << 34
"""Set on an anonymous page that belongs to one process alone. For a huge page that is mapped by one
entry, it applies to all of it. It is not documented: in Linux 5.19 to 7.3 it shows the page flag
PG_mappedtodisk, which other pages also use.

Source: include/linux/page-flags.h, include/linux/kernel-page-flags.h.
"""

PAGEMAP_SCAN = 0xC0606610
"""The number of the ioctl: _IOWR('f', 16, struct pm_scan_arg)."""
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
"""Since Linux 7.3, for a VMA whose accesses userfaultfd tracks."""

_ARG = struct.Struct("=12Q")
_REGION = struct.Struct("=3Q")
ARG_SIZE = _ARG.size
"""The size of struct pm_scan_arg in bytes (96)."""
WALK_END_OFFSET = 32
"""The byte offset of its field walk_end, the only field that the kernel writes."""
REGION_SIZE = _REGION.size
"""The size of struct page_region in bytes (24)."""


class PmScanArg(NamedTuple):
    """One struct pm_scan_arg: the pages of a range that are wanted, and the categories to report.

    The categories of a page are first XORed with category_inverted. The page is wanted if they then
    include all of category_mask and, if category_anyof_mask is not 0, at least one of that.
    """

    start: int
    """Byte address, a multiple of the page size."""
    end: int
    """Byte address, exclusive."""
    category_mask: int = 0
    category_anyof_mask: int = 0
    return_mask: int = VALID_CATEGORIES
    """The categories to report."""
    category_inverted: int = 0
    max_pages: int = 0
    """The most pages to report; 0 for any number."""
    vec_len: int = 512
    """The most regions to report."""
    vec: int = 0
    """Byte address of the caller's buffer for regions."""
    walk_end: int = 0
    """Byte address where the scan ended."""
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
    """One struct page_region: adjacent pages with the same reported categories."""

    start: int
    """Byte address."""
    end: int
    """Byte address, exclusive."""
    categories: int
    """The PAGE_IS_* bits that are in return_mask."""

    def pack(self) -> bytes:
        """Return the struct's REGION_SIZE bytes."""
        return _REGION.pack(*self)

    @classmethod
    def unpack_all(cls, data: bytes) -> list[Self]:
        """Read an array of regions."""
        return [cls._make(fields) for fields in _REGION.iter_unpack(data)]


class PageScan(NamedTuple):
    """The result of a scan."""

    regions: list[PageRegion]
    """The regions in address order. Adjacent ones have different categories."""
    walk_end: int
    """Byte address where the scan ended. It is below the end asked for if vec_len or max_pages was
    too small.

    If there are more than 512 regions, it may be below the end although the whole range was
    scanned.
    """


class EntryFile(Protocol):
    """An open file of entries: kpagecount, kpageflags, and pagemap with its scan."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Return the entries from a byte offset on, at most size bytes; b"" at the end.

        Raises:
            OSError: EINVAL if offset or size is not a multiple of ENTRY_SIZE; EINTR if the caller
                is being killed.
        """


class PagemapFile(EntryFile, Protocol):
    """An open /proc/PID/pagemap. The entry of byte address a is at offset a // PAGE_SIZE * 8."""

    def scan(self, question: PmScanArg) -> PageScan:
        """Answer a PAGEMAP_SCAN. Allocate a buffer for vec_len regions.

        Raises:
            OSError: EINVAL for an unknown flag or category, or if start is not aligned; EFAULT if
                the range is not in user space; EPERM if PM_SCAN_CHECK_WPASYNC is set and a VMA has
                no asynchronous write protection; EINTR if the caller is being killed.
        """

    def close(self) -> None:
        """Close the file. A second call does nothing."""
