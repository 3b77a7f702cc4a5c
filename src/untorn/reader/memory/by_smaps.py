"""The memory of a process by the kernel's own smaps, where that holds no lock for too long."""

import os
from functools import partial

import numpy as np

from untorn.maps.maps_file import FILL_SIZE
from untorn.maps.page import KERNEL_HALF, PAGE_SIZE
from untorn.maps.pagemap import PAGE_IS_GUARD, PmScanArg
from untorn.reader.access.gentle import Holds
from untorn.reader.access.limit import check_time
from untorn.reader.access.pagemap import LivePagemap
from untorn.reader.memory.figure import Figure
from untorn.reader.memory.figures import figures_of_smaps
from untorn.reader.memory.memory import How
from untorn.reader.memory.part import Part
from untorn.reader.memory.smaps_text import parse_smaps
from untorn.reader.page_walk import page_ns, pages_of, sizes_of, slice_size
from untorn.reader.text.columns import Columns

_RECORD = 512
"""Bytes; fewer than smaps has of a VMA, so that a read() of so many walks one VMA."""


def size_of_reads(columns: Columns, place: str, max_hold: float) -> int | None:
    """Return how many bytes of smaps to read at a time; None if it is not to be read.

    One call walks all VMAs that fit into so much text; of few bytes, one VMA.

    Args:
        columns: The VMAs.
        place: Directory of /proc by which the process is reached.
        max_hold: Seconds for which one call may hold a lock.
    """
    most = max_hold * 1e9 / page_ns()
    pages = pages_of(sizes_of(place))
    if pages <= most:
        return FILL_SIZE
    largest = int((columns.end - columns.start).max(initial=0)) // PAGE_SIZE
    return _RECORD if min(pages, largest) <= most else None


def read_smaps(pagemap: LivePagemap, place: str, size: int, max_hold: float) -> Part:
    """Return what smaps tells, and of guard pages pagemap.

    Args:
        pagemap: Of the process.
        place: Directory of /proc by which it is reached.
        size: As size_of_reads() returned it.
        max_hold: Seconds for which one call may hold a lock.

    Raises:
        OSError: It cannot be read.
    """
    smaps = parse_smaps(_read(f"{place}/smaps", size, pagemap.holds))
    figures = figures_of_smaps(smaps)
    if pagemap.tells_guards:
        step = slice_size(place, max_hold)
        figures["guard"] = _guards(smaps.columns, pagemap, step)
    return Part(smaps.columns, figures, np.full(len(smaps.columns), How.SMAPS), smaps)


def _read(path: str, size: int, holds: Holds) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    texts: list[bytes] = []
    try:
        while not texts or texts[-1]:
            check_time(path)
            texts.append(holds.make(partial(os.read, fd, size)))
    finally:
        os.close(fd)
    return b"".join(texts)


def _guards(columns: Columns, pagemap: LivePagemap, step: int) -> Figure:
    """Return how much of each VMA is guard pages, which smaps does not tell."""
    question = PmScanArg(0, 0, PAGE_IS_GUARD, return_mask=PAGE_IS_GUARD)
    pages = np.zeros(len(columns), np.uint64)
    at, end = 0, int(columns.end[columns.end < KERNEL_HALF].max(initial=0))
    while at < end:
        found = pagemap.scan(question._replace(start=at, end=min(end, at + step)))
        for region in found.regions:  # one may go over several VMAs
            start, stop = np.uint64(region.start), np.uint64(region.end)
            first = int(np.searchsorted(columns.end, start, "right"))
            rows = slice(first, int(np.searchsorted(columns.start, stop)))
            pages[rows] += np.minimum(columns.end[rows], stop)
            pages[rows] -= np.maximum(columns.start[rows], start)
        at = found.walk_end
    return Figure.exact(pages)
