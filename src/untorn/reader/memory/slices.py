"""Read the pages of an address space slice by slice; empty and huge slices are not read through.

A slice is what one page table maps, 2 MiB: pagemap shows that much under one hold of mmap_lock. A
chunk is a few slices that one call reads; it drops the lock between them.

Huge pages need care. If one entry maps a whole slice, pagemap says of each of its pages whether the
first one is mapped once (up to Linux 6.10, and since 6.15: fs/proc/task_mmu.c:pagemap_pmd_range()).
So we must recognise such a slice, which takes PAGEMAP_SCAN, and look at the frames of its pages.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from typing import NamedTuple, Protocol

import numpy as np

from untorn.maps.page import PAGE_SHIFT, PMD_SHIFT, PMD_SIZE
from untorn.maps.pagemap import (
    ENTRY_SIZE,
    PAGE_IS_HUGE,
    PAGE_IS_PFNZERO,
    PAGE_IS_PRESENT,
    PAGE_IS_SWAPPED,
    PM_FILE,
    PM_MMAP_EXCLUSIVE,
    PM_PFRAME_MASK,
    PM_PRESENT,
    PM_SWAP,
    PagemapFile,
    PmScanArg,
)
from untorn.reader.memory.quantity import Entries
from untorn.reader.text.hex_field import Truths

PTRS_PER_PTE = PMD_SIZE >> PAGE_SHIFT
"""Entries of a page table."""
_SINGLES = 32
"""Huge pages whose entries are read in one go: that holds the lock for less time than a call."""
_MANY = 512
"""Huge pages per chunk."""
_MOST_OF_NOTHING = 1 << 28
"""The most bytes of addresses that one call reads where the range before was empty."""
_FIRST = PmScanArg(0, 0, return_mask=PAGE_IS_HUGE, vec_len=1, max_pages=1)
_POPULATED = _FIRST._replace(category_anyof_mask=PAGE_IS_PRESENT | PAGE_IS_SWAPPED)
_NOT_HUGE = _FIRST._replace(
    category_inverted=PAGE_IS_HUGE, category_anyof_mask=PAGE_IS_HUGE | PAGE_IS_PFNZERO
)
"""Or the huge zero page."""
_ZEROS = PmScanArg(0, 0, PAGE_IS_PFNZERO, return_mask=PAGE_IS_PFNZERO)


class PagesFile(PagemapFile, Protocol):
    """An open pagemap: see LivePagemap."""

    @property
    def scans(self) -> bool:
        """Whether it has PAGEMAP_SCAN."""

    def read_each(self, offsets: Iterable[int]) -> bytes:
        """Return single entries by their byte offsets."""


class MappedBy(Enum):
    """What maps the pages of a chunk."""

    TABLES = auto()
    HUGE = auto()
    """One entry for each 2 MiB."""
    UNKNOWN = auto()
    """Either; only without PAGEMAP_SCAN."""


class Chunk(NamedTuple):
    """Some consecutive pages."""

    start: int
    """Byte address."""
    entries: Entries
    """One per page; for huge pages, one for each 2 MiB."""
    by: MappedBy

    @property
    def size(self) -> int:
        """Size of its pages in bytes."""
        return len(self.entries) << (PMD_SHIFT if self.by is MappedBy.HUGE else PAGE_SHIFT)


class Slices:
    """Reads the pages of ranges of addresses.

    Args:
        file: The open pagemap.
        chunk: Bytes of a chunk; a power of 2.
        most_empty: The most empty bytes that one scan may cover.
        most_huge: The same for huge pages.
        drop_zeros: Whether to leave out the zero page, for a caller that cannot see its frame.

    Attributes:
        scans: Whether the file has PAGEMAP_SCAN.
    """

    def __init__(
        self,
        file: PagesFile,
        *,
        chunk: int,
        most_empty: int = 1 << 30,
        most_huge: int = 1 << 30,
        drop_zeros: bool,
    ) -> None:
        self.scans = file.scans
        self._file, self._chunk, self._drop_zeros = file, chunk, drop_zeros
        self._most_empty, self._most_huge = most_empty, most_huge

    def chunks(self, starts: Sequence[int], ends: Sequence[int]) -> Iterator[Chunk]:
        """Yield the pages of ranges, which must be disjoint and ascending.

        A chunk may include pages between ranges. Empty parts may be left out.

        Raises:
            OSError: As the file.
        """
        at, row, size = 0, 0, self._chunk
        while (row := bisect_right(ends, at, row)) < len(ends):
            at = max(at, starts[row])
            stop = (at & -size) + size
            last = bisect_left(starts, stop, row) - 1
            end = min(stop, ends[last])
            entries = self._read(at, end)
            size = self._next_size(size, entries)
            run = self._find_huge(entries, at, ends)
            if run.start > at:
                yield self._by_tables(at, entries[: run.start - at >> PAGE_SHIFT])
            if run.end > run.start:
                yield from self._huge(run)
                at = run.end
            else:
                at = end
                if self.scans and end < ends[last] and not in_use(entries[-PTRS_PER_PTE:]).any():
                    at = self._next_populated(end, ends[last])

    def _read(self, start: int, end: int) -> Entries:
        text = self._file.read_at(_offset(start), _offset(end) - _offset(start))
        return np.frombuffer(text, np.uint64)

    def _next_size(self, size: int, entries: Entries) -> int:
        """Return how many bytes to read next: more and more while empty, if no scan can skip it."""
        if self.scans or in_use(entries).any():
            return self._chunk
        return min(2 * size, max(_MOST_OF_NOTHING, self._chunk))

    def populated(self, start: int, end: int, stride: int) -> Iterator[tuple[int, int]]:
        """Yield pieces of a range in which something may be mapped, at most stride bytes each."""
        if not self.scans:
            yield start, end
            return
        while (start := self._next_populated(start, end)) < end:
            stop = min(end, (start & -stride) + stride)
            yield start, stop
            start = stop

    def _by_tables(self, start: int, entries: Entries) -> Chunk:
        """Return a chunk of pages, without zero pages if they are to be dropped."""
        if self._drop_zeros and self.scans and may_be_zero(entries).any():
            entries = entries.copy()
            for first, last in self._zeros(start, start + (len(entries) << PAGE_SHIFT)):
                entries[first - start >> PAGE_SHIFT : last - start >> PAGE_SHIFT] = 0
        return Chunk(start, entries, MappedBy.TABLES)

    def _zeros(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        while start < end:
            found = self._file.scan(_ZEROS._replace(start=start, end=end))
            for region in found.regions:
                yield region.start, region.end
            start = found.walk_end

    def _find_huge(self, entries: Entries, at: int, ends: Sequence[int]) -> "_Run":
        """Return the first run of huge pages that begins here, or an empty one at the end."""
        end = at + (len(entries) << PAGE_SHIFT)
        for start in range((at + PMD_SIZE - 1) & -PMD_SIZE, end - PMD_SIZE + 1, PMD_SIZE):
            first = start - at >> PAGE_SHIFT
            if may_be_huge(int(entries[first]), int(entries[first + PTRS_PER_PTE - 1])):
                run = self._run(start, ends[bisect_right(ends, start)])
                if run.end > start:
                    return run
        return _Run(end, end)

    def _run(self, start: int, end: int) -> "_Run":
        """Return the run of huge pages that begins here, if there is one.

        If that is unknown, the slice counts as one, mapped by UNKNOWN.
        """
        if not self.scans:
            return _Run(start, start + PMD_SIZE if start + PMD_SIZE <= end else start)
        other, categories = self._first(start, min(end, start + self._most_huge), _NOT_HUGE)
        if other == start and categories & PAGE_IS_HUGE:
            return _Run(start, start + PMD_SIZE, zeros=True)
        return _Run(start, other)

    def _next_populated(self, start: int, end: int) -> int:
        """Return a byte address below which nothing is mapped."""
        while start < end:
            stop = min(end, start + self._most_empty)
            found, _ = self._first(start, stop, _POPULATED)
            if found < stop:
                return max(start, found & -PMD_SIZE)
            start = stop
        return end

    def _first(self, start: int, end: int, wanted: PmScanArg) -> tuple[int, int]:
        """Return the address and categories of the first wanted page; or the end, and 0."""
        found = self._file.scan(wanted._replace(start=start, end=end))
        for region in found.regions:
            return region.start, region.categories
        return end, 0

    def _huge(self, run: "_Run") -> Iterator[Chunk]:
        """Yield the chunks of a run; none for zero pages."""
        if not self.scans:
            yield Chunk(run.start, self._read(run.start, run.end), MappedBy.UNKNOWN)
            return
        for first in range(run.start, run.start if run.zeros else run.end, _MANY * PMD_SIZE):
            pages = range(first, min(first + _MANY * PMD_SIZE, run.end), PMD_SIZE)
            texts = [
                self._file.read_each(map(_offset, pages[at : at + _SINGLES]))
                for at in range(0, len(pages), _SINGLES)
            ]
            yield Chunk(first, np.frombuffer(b"".join(texts), np.uint64), MappedBy.HUGE)


class _Run(NamedTuple):
    """Consecutive huge pages."""

    start: int
    """Byte address."""
    end: int
    zeros: bool = False
    """Whether it is the huge zero page, alone."""


def _offset(addr: int) -> int:
    """Return the offset in bytes of the entry of the page at a byte address."""
    return (addr >> PAGE_SHIFT) * ENTRY_SIZE


def in_use(entries: Entries) -> Truths:
    """Return for each page whether something is there; an empty entry may be soft-dirty, too."""
    used: Truths = entries & np.uint64(PM_PRESENT | PM_SWAP) != 0
    return used


def may_be_zero(entries: Entries) -> Truths:
    """Return for each page whether it may be the zero page: present, no file's, not exclusive."""
    known = np.uint64(PM_PRESENT | PM_FILE | PM_MMAP_EXCLUSIVE)
    may_be: Truths = entries & known == np.uint64(PM_PRESENT)
    return may_be


def may_be_huge(first: int, last: int) -> bool:
    """Return whether one entry may map a slice, from the entries of its first and last page."""
    if not first & PM_PRESENT:
        return False
    frame = first & PM_PFRAME_MASK
    if not frame:  # we may not see it
        return first == last
    return last - first == PTRS_PER_PTE - 1 and frame % PTRS_PER_PTE == 0
