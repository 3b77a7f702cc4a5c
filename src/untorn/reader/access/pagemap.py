"""The running kernel's /proc/PID/pagemap.

A read() holds mmap_lock for the addresses of one page table, 2 MiB, and drops it before the next
table. A scan holds it from where it starts to where it stops.

Source: fs/proc/task_mmu.c:pagemap_read(), do_pagemap_scan().
"""

import errno
import os
from array import array
from collections.abc import Callable, Iterable
from fcntl import ioctl
from functools import cached_property, partial
from itertools import repeat
from typing import TypeVar

from untorn.errors import os_error
from untorn.maps.pagemap import (
    ENTRY_SIZE,
    PAGE_IS_GUARD,
    PAGEMAP_SCAN,
    REGION_SIZE,
    PageRegion,
    PageScan,
    PmScanArg,
)
from untorn.reader.access.gentle import Holds
from untorn.reader.access.limit import check_time

T = TypeVar("T")


class LivePagemap:
    """An open /proc/PID/pagemap. It shows one memory, as an open maps file does.

    Args:
        place: Directory in /proc through which to reach the process.
        holds: Makes the calls that hold the lock for a table or more.
        short: Makes the calls that hold it for one page.

    Raises:
        OSError: ENOENT if there is no such process, EACCES or EPERM if we may not look at it;
            ETIMEDOUT, from any method, if the look has no time left.
    """

    def __init__(self, place: str, holds: Holds, short: Holds) -> None:
        self.holds, self._short = holds, short
        self._path = f"{place}/pagemap"
        self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)

    @cached_property
    def scans(self) -> bool:
        """Whether the kernel has PAGEMAP_SCAN (since Linux 6.7); found by trying."""
        try:
            self.scan(PmScanArg(0, 0, return_mask=0, vec_len=0))
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            return False
        return True

    @cached_property
    def tells_guards(self) -> bool:
        """Whether it reports guard pages (since Linux 6.16)."""
        try:
            self.scan(PmScanArg(0, 0, PAGE_IS_GUARD, return_mask=0, vec_len=0))
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            return False
        return True

    def read_at(self, offset: int, size: int) -> bytes:
        """Return all entries from a byte offset on.

        Raises:
            OSError: ESRCH if the process has lost its memory.
        """
        text = self._make(self.holds, partial(os.pread, self._fd, size, offset))
        if len(text) != size:
            raise os_error(errno.ESRCH)
        return text

    def read_each(self, offsets: Iterable[int]) -> bytes:
        """Return single entries by their byte offsets.

        A separate call reads each of them. It holds the lock for less time than passes until the
        next call, so there is no pause between them.

        Raises:
            OSError: As read_at().
        """
        calls = map(os.pread, repeat(self._fd), repeat(ENTRY_SIZE), offsets)
        texts: list[bytes] = self._make(self._short, partial(list, calls))
        if not all(texts):
            raise os_error(errno.ESRCH)
        return b"".join(texts)

    def scan(self, question: PmScanArg) -> PageScan:
        """Answer a PAGEMAP_SCAN; vec_len says how large to make the buffer.

        Raises:
            OSError: ENOTTY before Linux 6.7; EINVAL for a category that the kernel does not know.
        """
        vec = array("B", bytes(REGION_SIZE * question.vec_len))
        where = vec.buffer_info()[0] if vec else 0
        packed = bytearray(question._replace(vec=where).pack())
        count = self._make(self.holds, partial(ioctl, self._fd, PAGEMAP_SCAN, packed))
        regions = PageRegion.unpack_all(vec[: REGION_SIZE * count].tobytes())
        return PageScan(regions, PmScanArg.unpack(packed).walk_end)

    def _make(self, holds: Holds, call: Callable[[], T]) -> T:
        check_time(self._path)
        return holds.make(call)

    def close(self) -> None:
        """Release the file; once is enough, twice does no harm."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
