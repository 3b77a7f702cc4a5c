"""One look at the memory of a process: which way, what changed meanwhile, what came of it.

The kernel's own smaps is read where the longest hold of a lock that this can take is within the
budget; where it is not, pages are counted slice by slice. Either way the map is read before and
after: a VMA that is not the same any more is counted again, and what changed is told.
"""

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from untorn.maps.maps_file import FILL_SIZE
from untorn.maps.page import KERNEL_HALF, PAGE_SIZE, PMD_SIZE
from untorn.maps.pagemap import PAGE_IS_GUARD, PmScanArg
from untorn.reader.access.gentle import Holds
from untorn.reader.access.kernel_locks import parse_release
from untorn.reader.access.limit import check_time, until
from untorn.reader.access.pace import FRACTION, Pace
from untorn.reader.access.pagemap import LivePagemap
from untorn.reader.access.reach import Reach
from untorn.reader.diff import diff, same_rows
from untorn.reader.files.mapped_file import MappedFiles
from untorn.reader.memory.count import Counter
from untorn.reader.memory.facts import backing_of, facts_of
from untorn.reader.memory.figure import Figure
from untorn.reader.memory.figures import Figures, figures_of_counts, figures_of_smaps
from untorn.reader.memory.memory import FIELDS, How, Memory
from untorn.reader.memory.page_frames import KernelPageFrames
from untorn.reader.memory.sample import Count, Estimate, estimate
from untorn.reader.memory.slices import Slices
from untorn.reader.memory.smaps_text import SmapsText, parse_smaps
from untorn.reader.memory.tally import Quantity, Tally
from untorn.reader.page_walk import none_ns, page_ns, pages_of, sizes_of, slice_size
from untorn.reader.snapshot import Snapshot
from untorn.reader.text.columns import Columns, Numbers, Rows

_ATTEMPTS = 3
"""Looks at what may change from one system call to the next."""
_WINDOW = 4 * PMD_SIZE
_HURRIED_WINDOW = 32 * PMD_SIZE
"""Bytes of addresses that are read by one call, gently and not."""
_SPENT, _FOR_ALL = 0.9, 0.7
"""Of the time that there is, what is spent on counting; and of that, on all pages at most."""
_LEAST_EMPTY = 1 << 30
"""Bytes of addresses; 512 page tables."""
_RECORD = 512
"""Bytes; fewer than smaps has of a VMA, so that a read() of so many walks one VMA."""


class Options(NamedTuple):
    """How to look."""

    max_hold: float
    """Seconds for which a lock of the process may be held at most."""
    within: float | None
    """Seconds after which an estimate will do."""
    gentle: bool
    """Whether to look at a raised priority and with rests."""


Way = Callable[[Count, Slices, Numbers, Numbers], Estimate]
"""Counts ranges, all of them or a sample."""


class _Part(NamedTuple):
    """What was measured at one time."""

    columns: Columns
    figures: Figures
    how: npt.NDArray[np.str_]
    smaps: SmapsText | None = None


class Look:
    """One look at the memory of a process.

    Args:
        reach: How to get at it.
        take: Takes a snapshot of its map, by an older one.
        options: How to look.
    """

    def __init__(
        self, reach: Reach, take: Callable[[Snapshot | None], Snapshot], options: Options
    ) -> None:
        self._take, self._options = take, options
        self._place = reach.place
        self._files = MappedFiles(reach.place, reach.task, reach.proc)
        self._facts = facts_of(reach.place, reach.proc)
        self._deadline = options.within and time.monotonic() + options.within * _SPENT
        self._window = _WINDOW if options.gentle else _HURRIED_WINDOW
        self._holds = Holds(gentle=options.gentle)
        self._short = Holds(gentle=options.gentle, pace=Pace(0.5))

    def make(self) -> Memory:
        """Make it.

        Raises:
            OSError: ESRCH if the process has no memory, or loses it; EACCES or EPERM if it may not
                be looked at; ETIMEDOUT if the look that this is part of has no time left.
        """
        with ExitStack() as stack:
            self._pagemap = LivePagemap(self._place, self._holds, self._short)
            stack.callback(self._pagemap.close)
            self._frames = KernelPageFrames.open()
            if self._frames:
                stack.callback(self._frames.close)
            first = taken = self._take(None)
            parts = [self._measure(first.columns)]
            taken = self._take(first)
            for _ in range(_ATTEMPTS - 1):
                missing = _missing(taken.columns, parts)
                if not len(missing):
                    break
                parts.append(self._count(taken.columns.take(missing)))
                taken = self._take(taken)
        return self._put_together(first.columns, taken.columns, parts)

    def _measure(self, columns: Columns) -> _Part:
        """Measure all VMAs, whichever way is within the budget."""
        size = self._size_of_reads(columns)
        return self._count(columns) if size is None else self._read_smaps(size)

    def _size_of_reads(self, columns: Columns) -> int | None:
        """Return how many bytes of smaps to read at a time; None if it is not to be read.

        One call walks all VMAs that fit into so much text; of few bytes, one VMA.
        """
        most = self._options.max_hold * 1e9 / page_ns()
        pages = pages_of(sizes_of(self._place))
        if pages <= most:
            return FILL_SIZE
        largest = int((columns.end - columns.start).max(initial=0)) // PAGE_SIZE
        return _RECORD if min(pages, largest) <= most else None

    def _read_smaps(self, size: int) -> _Part:
        path = f"{self._place}/smaps"
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        texts: list[bytes] = []
        try:
            while not texts or texts[-1]:
                check_time(path)
                texts.append(self._holds.make(partial(os.read, fd, size)))
        finally:
            os.close(fd)
        smaps = parse_smaps(b"".join(texts))
        figures = figures_of_smaps(smaps)
        if guard := self._guards(smaps.columns):
            figures["guard"] = guard
        return _Part(smaps.columns, figures, np.full(len(smaps.columns), How.SMAPS), smaps)

    def _guards(self, columns: Columns) -> Figure | None:
        """Return how much of each VMA is guard pages, which smaps does not tell."""
        if not self._tells_guards():
            return None
        question = PmScanArg(0, 0, PAGE_IS_GUARD, return_mask=PAGE_IS_GUARD)
        step = slice_size(self._place, self._options.max_hold)
        pages = np.zeros(len(columns), np.uint64)
        at, end = 0, int(columns.end[columns.end < KERNEL_HALF].max(initial=0))
        while at < end:
            found = self._pagemap.scan(question._replace(start=at, end=min(end, at + step)))
            for region in found.regions:  # one may go over several VMAs
                start, stop = np.uint64(region.start), np.uint64(region.end)
                first = int(np.searchsorted(columns.end, start, "right"))
                rows = slice(first, int(np.searchsorted(columns.start, stop)))
                pages[rows] += np.minimum(columns.end[rows], stop)
                pages[rows] -= np.maximum(columns.start[rows], start)
            at = found.walk_end
        return Figure.exact(pages)

    def _count(self, columns: Columns) -> _Part:
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
        return seconds / FRACTION if self._options.gentle else seconds

    def _sample(self, count: Count, slices: Slices, start: Numbers, end: Numbers) -> Estimate:
        deadline = self._deadline or 0
        half = (time.monotonic() + deadline) / 2

        def populated(start: int, end: int, stride: int) -> list[tuple[int, int]]:
            with until(half):
                return list(slices.populated(start, end, stride))

        return estimate(count, start, end, self._window, deadline, populated=populated)

    def _count_by(self, columns: Columns, way: Way) -> _Part:
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
        if not self._tells_guards():
            del figures["guard"]
        how = np.where(variance.any(axis=1), How.SAMPLE, How.PAGEMAP)
        return _Part(columns, figures, how)

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
        return KERNEL_HALF if hold_ns <= self._options.max_hold * 1e9 else _LEAST_EMPTY

    def _tells_guards(self) -> bool:
        """Tell whether the kernel knows guard pages here: since Linux 6.15."""
        try:
            self._pagemap.scan(PmScanArg(0, 0, PAGE_IS_GUARD, return_mask=0, vec_len=0))
        except OSError:
            return False
        return True

    def _put_together(self, before: Columns, columns: Columns, parts: list[_Part]) -> Memory:
        """Return what the parts tell of the VMAs that there are in the end."""
        how = np.full(len(columns), How.NOTHING, "<U8")
        names = [name for name in FIELDS if any(name in part.figures for part in parts)]
        size = columns.end - columns.start
        low = {name: np.zeros(len(columns), np.uint64) for name in names}
        high = {name: size.copy() for name in names}
        variance = {name: np.zeros(len(columns)) for name in names}
        most = {name: size.copy() for name in names}
        for part in parts:
            theirs, ours = same_rows(part.columns, columns)
            how[ours] = part.how[theirs]
            for name, figure in part.figures.items():
                low[name][ours], high[name][ours] = figure.low[theirs], figure.high[theirs]
                if figure.variance is not None:
                    variance[name][ours] = figure.variance[theirs]
                if figure.most is not None:
                    most[name][ours] = figure.most[theirs]
        high["size"] = low["size"] = size
        unchanged = np.zeros(len(columns), np.bool_)
        unchanged[same_rows(before, columns)[1]] = True
        return Memory(
            columns,
            {
                name: Figure.between(low[name], high[name]).estimated(variance[name], most[name])
                for name in names
            },
            how.tolist(),
            changed=~unchanged,
            changes=diff(before, columns),
            longest_hold_ns=max(self._holds.longest_ns, self._short.longest_ns),
            smaps=_smaps_of(parts[0], columns),
        )


def _smaps_of(part: _Part, columns: Columns) -> SmapsText | None:
    """Return what smaps told of these VMAs, if it did of all."""
    theirs, ours = same_rows(part.columns, columns)
    if part.smaps is None or len(ours) < len(columns):
        return None
    fields = {name: values[theirs] for name, values in part.smaps.fields.items()}
    flags = [part.smaps.flags[row] for row in theirs.tolist()]
    return SmapsText(columns, fields, flags, part.smaps.leniencies)


def _all(count: Count, slices: Slices, start: Numbers, end: Numbers) -> Estimate:
    counts = count(start.tolist(), end.tolist())
    return Estimate(counts, np.zeros(counts.shape))


def _missing(columns: Columns, parts: list[_Part]) -> Rows:
    """Return the rows that no part has."""
    known = np.zeros(len(columns), np.bool_)
    for part in parts:
        known[same_rows(part.columns, columns)[1]] = True
    return np.flatnonzero(~known)
