"""The memory of VMAs by their pages: all pages, or a sample if there is no time for all."""

import errno
import time
from collections.abc import Callable

import numpy as np

from untorn.errors import os_error
from untorn.maps.page import KERNEL_HALF, PAGE_SIZE, PMD_SIZE
from untorn.reader.access.limit import check_time, until
from untorn.reader.access.pagemap import LivePagemap
from untorn.reader.files.mapped_file import MappedFiles
from untorn.reader.memory.count import Counter
from untorn.reader.memory.facts import Backing, Facts, backing_of
from untorn.reader.memory.figures import figures_of_counts
from untorn.reader.memory.memory import How
from untorn.reader.memory.page_frames import PageFrames
from untorn.reader.memory.part import Part
from untorn.reader.memory.quantity import Quantity
from untorn.reader.memory.sample import Count, Estimate, estimate
from untorn.reader.memory.slices import Slices
from untorn.reader.memory.tally import Tally
from untorn.reader.page_walk import entry_ns, none_ns, sizes_of
from untorn.reader.text.columns import Columns, Numbers
from untorn.releases.release import running_release

_CHUNK = 4 * PMD_SIZE
_HURRIED_CHUNK = 32 * PMD_SIZE
"""Bytes of addresses that one call reads, gently and otherwise."""
_FOR_ALL, _PROOF = 0.7, 0.15
"""The largest part of the available time for counting all pages; and the part of that time after
which it must be plain that it suffices."""
_LEAST_HOLD = 1e-4
"""Seconds that a scan may take, whatever the budget: else a reservation of terabytes never ends."""
_HUGE_COST = 16
"""A huge page takes at most as long as this many entries of page tables."""
Way = Callable[[Count, Slices, Numbers, Numbers], Estimate]
"""Counts ranges: all pages, or a sample."""


class ByPagemap:
    """Counts the pages of a process slice by slice.

    Args:
        pagemap: The pagemap of the process.
        frames: Looks up page frames; None if we may not see them.
        files: Finds the files that the process maps.
        facts: Facts of the process.
        max_hold: Seconds for which one call may hold a lock.
        gentle: Whether to pause between reads of the pagemap.
        deadline: When to end, by the monotonic clock; None to count all pages.
    """

    def __init__(
        self,
        pagemap: LivePagemap,
        frames: PageFrames | None,
        files: MappedFiles,
        facts: Facts,
        *,
        max_hold: float,
        gentle: bool,
        deadline: float | None,
    ) -> None:
        self._pagemap, self._frames, self._files, self._facts = pagemap, frames, files, facts
        self._max_hold, self._gentle, self._deadline = max_hold, gentle, deadline
        self._place = files.place
        self._progress: _Progress | None = None
        self._chunk = _CHUNK if gentle else _HURRIED_CHUNK

    def count(self, columns: Columns) -> Part:
        """Count the pages of VMAs: all, or a sample if there is no time for all."""
        if self._deadline is None:
            return self._count_by(columns, _all)
        seconds = (self._deadline - time.monotonic()) * _FOR_ALL
        sizes = sizes_of(self._place)
        self._progress = _Progress(seconds, sizes["VmRSS"] + sizes["VmSwap"])
        try:
            with until(time.monotonic() + seconds):
                return self._count_by(columns, _all)
        except TimeoutError:
            check_time(self._place)  # raises if the whole look has no time left
        self._progress = None
        return self._count_by(columns, self._sample)

    def _sample(self, count: Count, slices: Slices, start: Numbers, end: Numbers) -> Estimate:
        deadline = self._deadline or 0
        half = (time.monotonic() + deadline) / 2

        def populated(start: int, end: int, stride: int) -> list[tuple[int, int]]:
            with until(half):
                return list(slices.populated(start, end, stride))

        return estimate(count, start, end, self._chunk, deadline, populated=populated)

    def _count_by(self, columns: Columns, way: Way) -> Part:
        devices = self._frames is None
        backing = backing_of(columns, self._files, self._facts, devices=devices)
        shape = len(columns), len(Quantity)
        counts, variance = np.zeros(shape, np.int64), np.zeros(shape)
        looked_at = np.ones(len(columns), np.bool_)
        in_user_half = columns.end <= KERNEL_HALF
        of_device = backing.device & devices  # with frames we can tell them apart anyway
        for device in False, True:
            rows = np.flatnonzero(in_user_half & (of_device == device))
            if len(rows):
                slices, counter = self._tools(device)
                found = way(counter.count, slices, columns.start[rows], columns.end[rows])
                counts[rows], variance[rows], looked_at[rows] = found
        estimate = Estimate(counts[looked_at], variance[looked_at], looked_at[looked_at])
        return self._part(
            columns.take(np.flatnonzero(looked_at)), estimate, backing.take(looked_at)
        )

    def _tools(self, device: bool) -> tuple[Slices, Counter]:
        """Return the tools that read and count pages; pages of devices may not count at all."""
        no_special = self._frames is None and self._pagemap.scans and not device
        tally = Tally(self._frames, ksm=self._facts.ksm, no_special=no_special)
        slices = Slices(
            self._pagemap, chunk=self._chunk, drop_zeros=no_special, **self._most_scanned()
        )
        release, told = running_release(), self._progress or _ignore
        return slices, Counter(slices, tally, release, told)

    def _part(self, columns: Columns, found: Estimate, backing: Backing) -> Part:
        figures = figures_of_counts(columns, found, self._facts, backing)
        if not self._pagemap.scans:
            for name in "huge", "huge_anon", "huge_shmem", "huge_file":
                del figures[name]
        if not self._pagemap.tells_guards:
            del figures["guard"]
        how = np.where(found.variance.any(axis=1), How.SAMPLE, How.PAGEMAP)
        return Part(columns, figures, how)

    def _most_scanned(self) -> dict[str, int]:
        """Return how many bytes one scan may cover, empty ones and huge pages.

        A scan skips empty ranges that have no page table. What takes time is empty tables: those
        that the process has beyond what its resident pages need, and one for each huge page. A huge
        page takes one entry, and a look at the page.
        """
        if not self._pagemap.scans:
            return {"most_empty": 0, "most_huge": 0}
        sizes, most_ns = sizes_of(self._place), max(self._max_hold, _LEAST_HOLD) * 1e9
        tables = sizes["VmPTE"] // PAGE_SIZE - (sizes["VmRSS"] + sizes["VmSwap"]) // PMD_SIZE
        entries, all_entries = int(most_ns / none_ns()), tables * (PMD_SIZE // PAGE_SIZE)
        huge = max(int(most_ns / (_HUGE_COST * entry_ns())), 1)
        return {
            "most_empty": KERNEL_HALF
            if all_entries <= entries
            else max(entries * PAGE_SIZE, PMD_SIZE),
            "most_huge": huge * PMD_SIZE,
        }


class _Progress:
    """Raises TimeoutError as soon as it is plain that there is no time to count all pages.

    Args:
        seconds: Seconds that are available.
        size: Bytes of all pages, about.
    """

    def __init__(self, seconds: float, size: int) -> None:
        self._began, self._seconds, self._size = time.monotonic(), seconds, size
        self._done = 0

    def __call__(self, size: int) -> None:
        """Record that this many more bytes are counted."""
        self._done += size
        part = (time.monotonic() - self._began) / self._seconds if self._seconds > 0 else 1
        if part > _PROOF and self._done < self._size * part:
            raise os_error(errno.ETIMEDOUT)


def _ignore(size: int) -> None:
    """Record nothing."""


def _all(count: Count, slices: Slices, start: Numbers, end: Numbers) -> Estimate:
    counts = count(start.tolist(), end.tolist())
    return Estimate(counts, np.zeros(counts.shape), np.ones(len(counts), np.bool_))
