"""Count the memory of some VMAs from pagemap."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from untorn.maps.page import PAGE_SHIFT, PAGE_SIZE, PMD_SIZE
from untorn.maps.pagemap import KPF_ANON, KPF_ANON_EXCLUSIVE, KPF_SWAPBACKED, PM_PFRAME_MASK
from untorn.reader.memory.quantity import Counts, Entries, Quantity
from untorn.reader.memory.slices import PTRS_PER_PTE, Chunk, MappedBy, Slices
from untorn.reader.memory.tally import Tally
from untorn.releases.release import LAST, Release

_BATCH = 1 << 15
"""Entries that are counted together; this many fit into the CPU's cache."""
_EXCLUSIVE_SINCE = Release(5, 19)
"""Since this release, and up to the last known one, KPF_ANON_EXCLUSIVE means what it says."""
_OWN = np.uint64(KPF_ANON | KPF_ANON_EXCLUSIVE)
_SHMEM, _ANON_OR_SHMEM = np.uint64(KPF_SWAPBACKED), np.uint64(KPF_ANON | KPF_SWAPBACKED)


class Counter:
    """Counts the pages of ranges of addresses.

    Args:
        slices: Reads the pages.
        tally: Counts entries.
        release: The kernel's.
        on_chunk: Called for each chunk with the size of its pages in bytes.
    """

    def __init__(
        self,
        slices: Slices,
        tally: Tally,
        release: Release,
        on_chunk: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._slices, self._tally, self._on_chunk = slices, tally, on_chunk
        self._exclusive = release >= _EXCLUSIVE_SINCE and release[:2] <= LAST[:2]

    def count(self, starts: Sequence[int], ends: Sequence[int]) -> Counts:
        """Return a row of quantities for each range; the ranges must be disjoint and ascending.

        Args:
            starts: Byte addresses.
            ends: Byte addresses, exclusive.
        """
        counts = np.zeros((len(starts), len(Quantity)), np.int64)
        self._starts = np.array(starts, np.uint64)
        self._ends = np.array(ends, np.uint64)
        batch: list[Chunk] = []
        size = 0
        for chunk in self._slices.chunks(starts, ends):
            self._on_chunk(chunk.size)
            if chunk.by is not MappedBy.TABLES:
                self._count_huge(chunk, counts)
            elif not self._count_alike(chunk, counts):
                batch.append(chunk)
                size += len(chunk.entries)
            if size >= _BATCH:
                self._count_batch(batch, counts)
                batch, size = [], 0
        self._count_batch(batch, counts)
        return counts

    def _count_alike(self, chunk: Chunk, counts: Counts) -> bool:
        """Add a chunk if its pages are alike and in one range; return whether it was added."""
        row = int(np.searchsorted(self._ends, np.uint64(chunk.start), "right"))
        if not self._is_inside(chunk, row):
            return False
        counted = self._tally.count_alike(chunk.entries)
        if counted is not None:
            counts[row] += counted
        return counted is not None

    def _is_inside(self, chunk: Chunk, row: int) -> bool:
        end = chunk.start + (len(chunk.entries) << PAGE_SHIFT)
        return bool(self._starts[row] <= chunk.start and end <= self._ends[row])

    def _count_batch(self, batch: list[Chunk], counts: Counts) -> None:
        """Add the counts of these chunks."""
        if not batch:
            return
        rows = [self._rows(chunk) for chunk in batch]
        first = int(np.searchsorted(self._ends, np.uint64(batch[0].start), "right"))
        pieces = np.concatenate(rows) - first
        number = int(pieces.max(initial=-1)) + 1
        entries = np.concatenate([chunk.entries for chunk in batch])
        pieces = np.maximum(pieces, -1)
        counts[first : first + number] += self._tally.count(entries, pieces, number)

    def _rows(self, chunk: Chunk) -> npt.NDArray[np.intp]:
        """Return the range number of each page, or -1."""
        row = int(np.searchsorted(self._ends, np.uint64(chunk.start), "right"))
        if self._is_inside(chunk, row):
            return np.full(len(chunk.entries), row, np.intp)
        end = chunk.start + (len(chunk.entries) << PAGE_SHIFT)
        pages = np.arange(chunk.start, end, PAGE_SIZE, dtype=np.uint64)
        rows = np.searchsorted(self._ends, pages, "right")
        inside = rows < len(self._ends)
        inside[inside] = self._starts[rows[inside]] <= pages[inside]
        return np.where(inside, rows, -1)

    def _count_huge(self, chunk: Chunk, counts: Counts) -> None:
        """Add the counts of huge pages that all lie in one range."""
        row = int(np.searchsorted(self._ends, np.uint64(chunk.start), "right"))
        if chunk.by is MappedBy.UNKNOWN:
            counts[row] += self._tally.count_unsure(chunk.entries, zeros=True)
            return
        flags = self._flags(chunk.entries)
        own = (flags & _OWN == _OWN) & self._exclusive
        count = self._tally.count_unsure(spread(chunk.entries[~own]), zeros=False)
        count += int(own.sum()) * self._tally.huge_exclusive
        count[Quantity.HUGE] = count[Quantity.RSS]
        count[Quantity.HUGE_ANON] = count[Quantity.ANONYMOUS]
        if self._tally.frames is None:
            count[Quantity.HUGE_SHMEM_SLACK] = count[Quantity.RSS] - count[Quantity.ANONYMOUS]
        else:
            count[Quantity.HUGE_SHMEM] = PMD_SIZE * int((flags & _ANON_OR_SHMEM == _SHMEM).sum())
        counts[row] += count

    def _flags(self, entries: Entries) -> Entries:
        """Return the flags of the first page of each huge page, if we may know them."""
        if self._tally.frames is None:
            return np.zeros(len(entries), np.uint64)
        return self._tally.frames.flags(entries & np.uint64(PM_PFRAME_MASK))


def spread(entries: Entries) -> Entries:
    """Return the entry of each page of huge pages, derived from that of the first page."""
    every = entries[:, np.newaxis] + np.arange(PTRS_PER_PTE, dtype=np.uint64)
    of_frames = entries & np.uint64(PM_PFRAME_MASK) != 0
    return np.where(of_frames[:, np.newaxis], every, entries[:, np.newaxis]).reshape(-1)
