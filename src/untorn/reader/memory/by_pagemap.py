"""The memory of VMAs by their pages: all of them, or a sample if there is no time for that."""

import os
import time
from collections.abc import Callable

import numpy as np

from untorn.maps.page import KERNEL_HALF, PAGE_SIZE, PMD_SIZE
from untorn.reader.access.kernel_locks import parse_release
from untorn.reader.access.limit import check_time, until
from untorn.reader.access.pace import FRACTION
from untorn.reader.access.pagemap import LivePagemap
from untorn.reader.files.mapped_file import MappedFiles
from untorn.reader.memory.count import Counter
from untorn.reader.memory.facts import Facts, backing_of
from untorn.reader.memory.figures import figures_of_counts
from untorn.reader.memory.memory import How
from untorn.reader.memory.page_frames import PageFrames
from untorn.reader.memory.part import Part
from untorn.reader.memory.sample import Count, Estimate, estimate
from untorn.reader.memory.slices import Slices
from untorn.reader.memory.tally import Quantity, Tally
from untorn.reader.page_walk import none_ns, page_ns, sizes_of
from untorn.reader.text.columns import Columns, Numbers

_WINDOW = 4 * PMD_SIZE
_HURRIED_WINDOW = 32 * PMD_SIZE
"""Bytes of addresses that are read by one call, gently and not."""
_FOR_ALL = 0.7
"""Of the time that there is, what is spent at most on counting all."""
_LEAST_EMPTY = 1 << 30
"""Bytes of addresses; 512 page tables."""
Way = Callable[[Count, Slices, Numbers, Numbers], Estimate]
"""Counts ranges, all of them or a sample."""


class ByPagemap:
    """Counts the pages of a process slice by slice.

    Args:
        pagemap: Of the process.
        frames: What tells of page frames; None without the right to see them.
        files: Finds the files that it maps.
        facts: Of the process.
        max_hold: Seconds for which one call may hold a lock.
        gentle: Whether the pagemap is read with rests.
        deadline: When to end, by the monotonic clock; None for all pages, whenever that is.
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
        self._window = _WINDOW if gentle else _HURRIED_WINDOW

    def count(self, columns: Columns) -> Part:
        """Count the pages of VMAs: all, or those of a sample if there is no time for that."""
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if self._time_to_count() > left * _FOR_ALL:
                return self._count_by(columns, self._sample)
            try:
                with until(self._deadline - left * (1 - _FOR_ALL)):
                    return self._count_by(columns, _all)
            except TimeoutError:
                check_time(self._place)  # is it the whole look that has no time left?
                return self._count_by(columns, self._sample)
        return self._count_by(columns, _all)

    def _time_to_count(self) -> float:
        """Return about how many seconds it takes to count all pages."""
        tables = sizes_of(self._place)["VmPTE"] / PAGE_SIZE
        seconds = tables * (PMD_SIZE // PAGE_SIZE) * page_ns() / 1e9
        return seconds / FRACTION if self._gentle else seconds

    def _sample(self, count: Count, slices: Slices, start: Numbers, end: Numbers) -> Estimate:
        deadline = self._deadline or 0
        half = (time.monotonic() + deadline) / 2

        def populated(start: int, end: int, stride: int) -> list[tuple[int, int]]:
            with until(half):
                return list(slices.populated(start, end, stride))

        return estimate(count, start, end, self._window, deadline, populated=populated)

    def _count_by(self, columns: Columns, way: Way) -> Part:
        frames, facts, scans = self._frames, self._facts, self._pagemap.scans
        backing = backing_of(columns, self._files, facts, devices=frames is None)
        counts = np.zeros((len(columns), len(Quantity)), np.int64)
        variance = np.zeros(counts.shape)
        in_user_half = columns.end <= KERNEL_HALF
        for devices in False, True:
            rows = np.flatnonzero(in_user_half & (backing.device == devices))
            if not len(rows):
                continue
            no_zeros = frames is None and scans and not devices
            slices = Slices(
                self._pagemap,
                window=self._window,
                most_empty=self._most_empty(),
                drop_zeros=no_zeros,
            )
            tally = Tally(frames, ksm=facts.ksm, no_zeros=no_zeros)
            counter = Counter(slices, tally, parse_release(os.uname().release))
            found = way(counter.count, slices, columns.start[rows], columns.end[rows])
            counts[rows], variance[rows] = found
        figures = figures_of_counts(columns, Estimate(counts, variance), facts, backing)
        if not scans:
            del figures["huge"]
        if not self._pagemap.tells_guards:
            del figures["guard"]
        how = np.where(variance.any(axis=1), How.SAMPLE, How.PAGEMAP)
        return Part(columns, figures, how)

    def _most_empty(self) -> int:
        """Return over how many bytes without a page one scan may go.

        It skips what has no page table. So what takes time are tables with nothing in them: those
        that the process has beyond what its resident pages need, of huge ones one each, too.
        """
        if not self._pagemap.scans:
            return 0
        sizes = sizes_of(self._place)
        tables = sizes["VmPTE"] // PAGE_SIZE - (sizes["VmRSS"] + sizes["VmSwap"]) // PMD_SIZE
        hold_ns = tables * (PMD_SIZE // PAGE_SIZE) * none_ns()
        return KERNEL_HALF if hold_ns <= self._max_hold * 1e9 else _LEAST_EMPTY


def _all(count: Count, slices: Slices, start: Numbers, end: Numbers) -> Estimate:
    counts = count(start.tolist(), end.tolist())
    return Estimate(counts, np.zeros(counts.shape))
