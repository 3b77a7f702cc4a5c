"""One look at a process: the text of one of its files.

The kernel's own text is passed on if its longest walk of page tables fits the budget of a hold;
otherwise pages are counted slice by slice, and shown in the kernel's format. If the main thread has
no memory (a kernel thread, a zombie, a process whose other threads live on), the files are as empty
as the kernel's.
"""

import errno
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial

from untorn.errors import OutOfReachError, os_error
from untorn.maps.maps_file import FILL_SIZE
from untorn.reader.access.budget import Budget
from untorn.reader.access.gentle import Holds
from untorn.reader.access.limit import TIMEOUT, memory_timeout, until
from untorn.reader.access.pace import Pace
from untorn.reader.access.task import status_of
from untorn.reader.diff import same_rows
from untorn.reader.live_maps import LiveMaps
from untorn.reader.looks import look_at
from untorn.reader.memory.by_smaps import read_by_walks, size_of_reads
from untorn.reader.memory.measure import PART_OF_TIME
from untorn.reader.memory.rollup import NO_SIZES, read_rollup_text
from untorn.reader.page_walk import sizes_of, walk_ns
from untorn.reader.snapshot import Snapshot
from untorn.reader.text.columns import first_descent, resolve_overlaps
from untorn.reader.text.parse import parse
from untorn.serve.host.watched import Kind, Watched
from untorn.serve.text.show_maps import show_maps
from untorn.serve.text.show_smaps import show_smaps
from untorn.serve.text.show_smaps_rollup import show_smaps_rollup
from untorn.serve.text.text import Text

Sizes = Mapping[str, int]
_ATTEMPTS = 3
"""How often to look at what may change between two system calls."""
_SMAPS_RECORD, _NUMA_LINE = 512, len(b"00400000 default\n")
"""Bytes; no record of smaps or line of numa_maps is shorter, so a read() of this size walks one
VMA."""


class _Tools(threading.local):
    """What a thread needs for its looks; to find how far it may be raised takes long.

    Attributes:
        holds: Makes calls without pauses: together they take no longer than one may, or each is on
            another process.
    """

    def __init__(self, budget: Budget) -> None:
        self.holds = Holds(pace=Pace(1), budget=budget)


class Looker:
    """Looks at processes. Any thread may use it.

    Args:
        proc: Where procfs is mounted.
        max_hold: Seconds that one call may hold a lock of a process.
        budget: The budget to charge for calls that hold a lock.
    """

    def __init__(self, proc: str, max_hold: float, budget: Budget) -> None:
        self._proc, self._max_hold, self._budget = proc, max_hold, budget
        self._tools = _Tools(budget)
        walk_ns(NO_SIZES)  # measure this once, not in each thread
        self._ways: dict[Kind, Callable[[int], Text]] = {
            Kind.MAPS: partial(self._show_vmas, self._maps),
            Kind.SMAPS: partial(self._show_vmas, self._smaps),
            Kind.SMAPS_ROLLUP: self._smaps_rollup,
            Kind.NUMA_MAPS: partial(self._show_vmas, self._numa_maps),
        }

    def __call__(self, process: Watched, kind: Kind) -> Text:
        """Return the text of a process's file.

        Raises:
            OSError: ESRCH if it is gone, or has no memory to sum up; EACCES or EPERM if we may not
                look at it; ETIMEDOUT if the look is aborted; EBUSY if numa_maps would need a longer
                hold; ENOENT if this kernel lacks the file.
        """
        try:
            text = self._ways[kind](process.pid)
        except (FileNotFoundError, ProcessLookupError):
            process.check()
            raise
        except OutOfReachError as error:
            raise OSError(errno.EOPNOTSUPP, str(error)) from error
        process.check()  # what we read is its own only if it still has its PID
        return text

    def open_maps(self, process: Watched, timeout: float) -> LiveMaps:
        """Return the maps of a process as they are now, not as last seen; the caller closes them.

        Each query is one call of at most `timeout` seconds. Raises OSError ESRCH if the process is
        gone; EACCES or EPERM; ETIMEDOUT.
        """
        maps = LiveMaps(process.pid, proc=self._proc, timeout=timeout, budget=self._budget)
        try:
            process.check()  # they are its own only if it still has its PID
        except OSError:
            maps.close()
            raise
        return maps

    def _place(self, pid: int) -> str:
        return f"{self._proc}/{pid}"

    def _show_vmas(self, show: Callable[[Sizes, LiveMaps], Text], pid: int) -> Text:
        """Return a text with a record per VMA; without records if there is no memory.

        Raises:
            OSError: ESRCH if there is no such process.
        """
        try:
            if self._has_memory(pid):
                sizes = sizes_of(self._place(pid))
                return self._look_at(pid, partial(show, sizes), sizes)
        except ProcessLookupError:
            if self._has_memory(pid):
                raise
        return Text([])

    def _has_memory(self, pid: int) -> bool:
        """Return whether the main thread has memory. Raises OSError ESRCH if it is gone."""
        status = status_of(self._place(pid))
        if status is None:
            raise os_error(errno.ESRCH)
        return not (status.is_kernel_thread or status.leaving)

    def _look_at(self, pid: int, look: Callable[[LiveMaps], Text], sizes: Sizes) -> Text:
        with until(time.monotonic() + memory_timeout(sizes["VmPTE"])):
            return look_at(pid, look, proc=self._proc, timeout=None, budget=self._budget)

    def _maps(self, sizes: Sizes, maps: LiveMaps) -> Text:
        snapshot = maps.snapshot()
        return show_maps(snapshot) if snapshot.text is None else Text.of_lines(snapshot.text)

    def _smaps(self, sizes: Sizes, maps: LiveMaps) -> Text:
        before: Snapshot | None = None
        for _ in range(_ATTEMPTS):
            read = self._read_walking("smaps", sizes, maps, _SMAPS_RECORD)
            if read is None:
                break
            text, after = Text.of_smaps(read), maps.snapshot(before)
            if _is_whole(text, before, after):
                return text
            before = after
        return show_smaps(maps.memory(max_hold=self._max_hold, counted=True))

    def _read_walking(self, name: str, sizes: Sizes, maps: LiveMaps, least: int) -> bytes | None:
        """Return the kernel's text of a file for which it walks page tables.

        Args:
            name: Name of the file.
            sizes: Sizes of the process.
            maps: Maps of the process.
            least: Bytes; no record is shorter. The file is read by so many at a time if a walk of
                all takes too long, but that of any single VMA does not.

        Returns:
            None if that of a single VMA takes too long.
        """
        place = self._place(maps.pid)
        if walk_ns(sizes) <= self._max_hold * 1e9:
            return read_by_walks(f"{place}/{name}", FILL_SIZE, self._tools.holds)
        if size_of_reads(maps.snapshot().columns, place, self._max_hold) is None:
            return None
        holds = Holds(pace=Pace(PART_OF_TIME), budget=self._budget)
        return read_by_walks(f"{place}/{name}", least, holds)

    def _smaps_rollup(self, pid: int) -> Text:
        with until(time.monotonic() + TIMEOUT):
            found = read_rollup_text(pid, self._proc, self._tools.holds, self._max_hold)
        if found.sizes is None:
            raise os_error(errno.ESRCH)
        if found.text:
            return Text([found.text])
        return self._look_at(pid, self._count, found.sizes)

    def _count(self, maps: LiveMaps) -> Text:
        return show_smaps_rollup(maps.memory(max_hold=self._max_hold, counted=True))

    def _numa_maps(self, sizes: Sizes, maps: LiveMaps) -> Text:
        read = self._read_walking("numa_maps", sizes, maps, _NUMA_LINE)
        if read is None:
            raise os_error(errno.EBUSY)
        return Text.of_lines(read)


def _is_whole(text: Text, before: Snapshot | None, after: Snapshot) -> bool:
    """Return whether a text of smaps shows nothing twice, and all that was mapped all the time.

    It does if it equals the map after it; otherwise the map before it is needed, too.
    """
    shown = b"".join([record[: record.index(b"\n") + 1] for record in text.records])
    if shown == after.text:
        return True
    if before is None:
        return False
    lines = parse([shown])
    there = before.columns.take(same_rows(before.columns, after.columns)[0])
    in_order = first_descent(lines) is None and not resolve_overlaps(lines)[1]
    return in_order and len(same_rows(there, lines)[0]) == len(there)
