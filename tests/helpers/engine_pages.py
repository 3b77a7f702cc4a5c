"""The memory of an engine process, counted from its pagemap like a real one's."""

import errno
from collections.abc import Callable, Iterable

import numpy as np

from untorn.engine import KPAGECOUNT, KPAGEFLAGS, Process
from untorn.errors import os_error
from untorn.maps.pagemap import ENTRY_SIZE, EntryFile, PageScan, PmScanArg
from untorn.reader.memory.count import Counter
from untorn.reader.memory.page_frames import Frames
from untorn.reader.memory.quantity import Counts
from untorn.reader.memory.slices import Slices
from untorn.reader.memory.tally import Tally
from untorn.releases.release import Release

RELEASE = Release(6, 18)


class EnginePages:
    """An open pagemap; something can happen after the first read, and before the next.

    Attributes:
        scans: Whether it has PAGEMAP_SCAN.
    """

    def __init__(self, process: Process, between: Callable[[], object], *, scans: bool) -> None:
        self._pagemap = process.open_pagemap()
        self._between: Callable[[], object] | None = between
        self.scans = scans

    def read_at(self, offset: int, size: int) -> bytes:
        text = self._pagemap.read_at(offset, size)
        if len(text) != size:
            raise os_error(errno.ESRCH)
        between, self._between = self._between, None
        if between is not None:
            between()
        return text

    def read_each(self, offsets: Iterable[int]) -> bytes:
        return b"".join(self._pagemap.read_at(offset, ENTRY_SIZE) for offset in offsets)

    def scan(self, question: PmScanArg) -> PageScan:
        return self._pagemap.scan(question)

    def close(self) -> None:
        self._pagemap.close()


class EngineFrames:
    """The page frames as shown."""

    def counts(self, frames: Frames) -> Frames:
        return _each(KPAGECOUNT, frames)

    def flags(self, frames: Frames) -> Frames:
        return _each(KPAGEFLAGS, frames)


def _each(file: EntryFile, frames: Frames) -> Frames:
    texts = (file.read_at(int(frame) * ENTRY_SIZE, ENTRY_SIZE) for frame in frames)
    return np.frombuffer(b"".join(texts), np.uint64)


def counted(
    process: Process,
    chunk: int,
    *,
    frames: bool = True,
    scans: bool = True,
    between: Callable[[], object] = lambda: None,
) -> Counts:
    """Return the counts of the pages of each VMA.

    Args:
        process: The process.
        chunk: Bytes to read at once.
        frames: Whether page frames may be seen.
        scans: Whether the kernel has PAGEMAP_SCAN.
        between: Called between the first read and the second.
    """
    process.proc.cap_sys_admin = frames
    pages = EnginePages(process, between, scans=scans)
    try:
        tally = Tally(EngineFrames() if frames else None, ksm=False, no_special=False)
        slices = Slices(pages, chunk=chunk, drop_zeros=not frames)
        bounds = [(start, end) for start, end, _ in process.mm.mm_mt]
        starts, ends = zip(*bounds, strict=True)
        return Counter(slices, tally, RELEASE).count(starts, ends)
    finally:
        pages.close()
