"""/proc/kpagecount and /proc/kpageflags: how often each page is mapped, and its flags.

Compare fs/proc/page.c:kpage_read(), stable_page_flags().
"""

import errno
import struct
from collections.abc import Callable

from untorn.errors import os_error
from untorn.maps.pagemap import (
    ENTRY_SIZE,
    KPF_ANON,
    KPF_DIRTY,
    KPF_MMAP,
    KPF_SWAPBACKED,
    KPF_ZERO_PAGE,
)
from untorn.mm.filemap import Page, PageKind
from untorn.mm.mem_map import ZERO_PFN, mem_map

_KIND_FLAGS = {
    PageKind.ANON: KPF_ANON | KPF_SWAPBACKED,
    PageKind.FILE: 0,
    PageKind.SHMEM: KPF_SWAPBACKED,
}


class KpageFile:
    """One of the two files. The entry of a frame is at byte offset PFN * 8."""

    __slots__ = ("_entry",)

    def __init__(self, entry: Callable[[int, Page | None], int]) -> None:
        """Make the file. entry() returns the entry of a frame, from its number and page, if any."""
        self._entry = entry

    def read_at(self, offset: int, size: int) -> bytes:
        """Return the entries from a byte offset on, at most size bytes; b"" after the last frame.

        Raises:
            OSError: EINVAL if offset or size is negative or not a multiple of 8.
        """
        if min(offset, size) < 0 or offset % ENTRY_SIZE or size % ENTRY_SIZE:
            raise os_error(errno.EINVAL)
        first = offset // ENTRY_SIZE
        numbers = range(first, min(first + size // ENTRY_SIZE, mem_map.max_pfn()))
        # As in Linux, each entry is of a different moment: no lock stops the whole machine.
        entries = [self._entry(number, mem_map.page(number)) for number in numbers]
        return struct.pack(f"<{len(entries)}Q", *entries)


def _count(pfn: int, page: Page | None) -> int:
    return 0 if page is None else page.mapcount


def _flags(pfn: int, page: Page | None) -> int:
    if page is None:
        return KPF_ZERO_PAGE if pfn == ZERO_PFN else 0
    flags = _KIND_FLAGS[page.kind]
    if page.mapcount:
        flags |= KPF_MMAP
    if page.dirty:
        flags |= KPF_DIRTY
    return flags


KPAGECOUNT = KpageFile(_count)
"""How often each page is mapped. Mappings of the zero page are not counted."""
KPAGEFLAGS = KpageFile(_flags)
"""The KPF_* bits that the engine knows. All anonymous memory has KPF_SWAPBACKED."""
