"""The memory of a process from the kernel's smaps, if that holds no lock for too long."""

import math
import os
from collections.abc import Iterator
from functools import partial

import numpy as np

from untorn.maps.maps_file import FILL_SIZE
from untorn.maps.page import KERNEL_HALF, PAGE_SIZE, ULONG_MAX
from untorn.maps.pagemap import PAGE_IS_GUARD, PmScanArg
from untorn.reader.access.gentle import Holds
from untorn.reader.access.limit import check_time
from untorn.reader.access.pagemap import LivePagemap
from untorn.reader.memory.figure import Figure
from untorn.reader.memory.figures import figures_of_smaps
from untorn.reader.memory.memory import How
from untorn.reader.memory.part import Part
from untorn.reader.memory.smaps_text import parse_smaps
from untorn.reader.page_walk import page_ns, sizes_of, walk_ns
from untorn.reader.text.columns import Columns

_RECORD = 512
"""Bytes; fewer than smaps prints for a VMA, so that a read() of this size walks one VMA."""


def size_of_reads(columns: Columns, place: str, max_hold: float) -> int | None:
    """Return how many bytes of smaps to read at a time; None if smaps must not be read.

    One call walks all VMAs that fit into the text; with few bytes, one VMA.

    Args:
        columns: The VMAs.
        place: Directory in /proc through which to reach the process.
        max_hold: Seconds for which one call may hold a lock.
    """
    if walk_ns(sizes_of(place)) <= max_hold * 1e9:
        return FILL_SIZE
    largest = int((columns.end - columns.start).max(initial=0)) // PAGE_SIZE
    return _RECORD if largest * page_ns() <= max_hold * 1e9 else None


def read_smaps(pagemap: LivePagemap, place: str, size: int, max_hold: float) -> Part:
    """Read smaps, and guard pages from pagemap.

    Args:
        pagemap: The pagemap of the process.
        place: Directory in /proc through which to reach it.
        size: What size_of_reads() returned.
        max_hold: Seconds for which one call may hold a lock.

    Raises:
        OSError: smaps cannot be read.
    """
    smaps = parse_smaps(read_by_walks(f"{place}/smaps", size, pagemap.holds))
    figures = figures_of_smaps(smaps)
    if pagemap.tells_guards:
        most = math.inf if size == FILL_SIZE else max_hold * 1e9 / page_ns() / 2
        figures["guard"] = _guards(smaps.columns, pagemap, most)
    return Part(smaps.columns, figures, np.full(len(smaps.columns), How.SMAPS), smaps)


def read_by_walks(path: str, size: int, holds: Holds) -> bytes:
    """Read a text for which the kernel walks page tables, by at most `size` bytes at a time.

    Raises:
        OSError: It cannot be read; ETIMEDOUT if the look has no time left.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    texts: list[bytes] = []
    try:
        while not texts or texts[-1]:
            check_time(path)
            texts.append(holds.make(partial(os.read, fd, size)))
    finally:
        os.close(fd)
    return b"".join(texts)


def _guards(columns: Columns, pagemap: LivePagemap, most: float) -> Figure:
    """Return how much of each VMA is guard pages, which smaps does not show.

    Args:
        columns: The VMAs.
        pagemap: The pagemap of the process.
        most: How many pages one scan may look at; it skips the space between VMAs at once.
    """
    question = PmScanArg(0, 0, PAGE_IS_GUARD, return_mask=PAGE_IS_GUARD)
    guards = np.zeros(len(columns), np.uint64)
    for at, end in _spans(columns, most):
        while at < end:
            found = pagemap.scan(question._replace(start=at, end=end))
            for region in found.regions:  # one region may cover several VMAs
                start, stop = np.uint64(region.start), np.uint64(region.end)
                first = int(np.searchsorted(columns.end, start, "right"))
                rows = slice(first, int(np.searchsorted(columns.start, stop)))
                guards[rows] += np.minimum(columns.end[rows], stop)
                guards[rows] -= np.maximum(columns.start[rows], start)
            at = found.walk_end
    return Figure.exact(guards)


def _spans(columns: Columns, most: float) -> Iterator[tuple[int, int]]:
    """Yield ranges that cover all VMAs of the user's half, with about `most` pages each."""
    rows = np.flatnonzero(columns.end <= KERNEL_HALF)
    pages = np.cumsum((columns.end - columns.start)[rows] // np.uint64(PAGE_SIZE))
    groups = pages // np.uint64(min(most, KERNEL_HALF))
    for first in np.flatnonzero(np.diff(groups, prepend=np.uint64(ULONG_MAX))).tolist():
        last = int(np.searchsorted(groups, groups[first], "right")) - 1
        yield int(columns.start[rows[first]]), int(columns.end[rows[last]])
