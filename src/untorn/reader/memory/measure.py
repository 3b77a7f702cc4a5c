"""One look at the memory of a process: choose the way, recount what changed, join the results.

smaps is read if the longest hold of a lock that it can take is within the budget; otherwise pages
are counted slice by slice. In both cases the map is read before and after: a VMA that changed is
counted again, and the changes are reported.
"""

import errno
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np

from untorn.errors import os_error
from untorn.reader.access.budget import Budget
from untorn.reader.access.gentle import Holds
from untorn.reader.access.pace import Pace
from untorn.reader.access.pagemap import LivePagemap
from untorn.reader.access.reach import Reach
from untorn.reader.access.task import status_of
from untorn.reader.diff import diff, same_rows
from untorn.reader.files.mapped_file import MappedFiles
from untorn.reader.memory.by_pagemap import ByPagemap
from untorn.reader.memory.by_smaps import read_smaps, size_of_reads
from untorn.reader.memory.facts import facts_of
from untorn.reader.memory.memory import Memory
from untorn.reader.memory.page_frames import KernelPageFrames
from untorn.reader.memory.part import Part, figures_of_parts, how_of, missing, smaps_of
from untorn.reader.snapshot import Snapshot
from untorn.reader.text.columns import Columns

_ATTEMPTS = 3
"""How often to look at what may change between two system calls."""
PART_OF_TIME, _PART_IF_SHORT = 0.15, 0.75
"""The part of the time that calls which hold a lock may take; and that of one-page calls."""
_SPENT = 0.9
"""The part of the available time for counting."""


class Options(NamedTuple):
    """How to look."""

    max_hold: float
    """Seconds that a lock of the process may be held."""
    within: float | None
    """Seconds after which an estimate will do."""
    gentle: bool
    """Whether to look at a raised priority and with pauses."""
    budget: Budget | None
    """The budget to charge for calls that hold a lock; None for no bound."""
    counted: bool
    """Whether to count pages even if smaps is quick, and keep VMAs as they were first found."""


class Look:
    """One look at the memory of a process.

    Args:
        reach: How to reach the process.
        take: Takes a snapshot of its map, given an older one.
        options: How to look.
    """

    def __init__(
        self, reach: Reach, take: Callable[[Snapshot | None], Snapshot], options: Options
    ) -> None:
        self._reach, self._take, self._options = reach, take, options
        self._deadline = options.within and time.monotonic() + options.within * _SPENT
        gentle, budget = options.gentle, options.budget
        self._holds = Holds(gentle=gentle, pace=Pace(PART_OF_TIME), budget=budget)
        self._short = Holds(gentle=gentle, pace=Pace(_PART_IF_SHORT), budget=budget)

    def make(self) -> Memory:
        """Make the look.

        Raises:
            OSError: ESRCH if the process has no memory, or loses it; EACCES or EPERM if we may not
                look at it; ETIMEDOUT if the look has no time left.
        """
        with ExitStack() as stack:
            pagemap = self._open()
            stack.callback(pagemap.close)
            frames = KernelPageFrames.open()
            if frames:
                stack.callback(frames.close)
            count = self._counter(pagemap, frames).count
            first = self._take(None)
            if self._options.counted:
                part = count(first.columns)
                return self._put_together(part.columns, part.columns, [part])
            parts = [self._read_smaps(first.columns, pagemap) or count(first.columns)]
            taken = self._take(first)
            for _ in range(_ATTEMPTS - 1):
                rows = missing(taken.columns, parts)
                if not len(rows):
                    break
                parts.append(count(taken.columns.take(rows)))
                taken = self._take(taken)
        return self._put_together(first.columns, taken.columns, parts)

    def _open(self) -> LivePagemap:
        """Open the pagemap. That of a process without memory is root's, and cannot be opened."""
        try:
            return LivePagemap(self._reach.place, self._holds, self._short)
        except PermissionError:
            status = status_of(self._reach.place)
            if status is None or status.leaving:
                raise os_error(errno.ESRCH) from None
            raise

    def _counter(self, pagemap: LivePagemap, frames: KernelPageFrames | None) -> ByPagemap:
        place, task, proc = self._reach.place, self._reach.task, self._reach.proc
        return ByPagemap(
            pagemap,
            frames,
            MappedFiles(place, task, proc),
            facts_of(place),
            max_hold=self._options.max_hold,
            gentle=self._options.gentle,
            deadline=self._deadline,
        )

    def _read_smaps(self, columns: Columns, pagemap: LivePagemap) -> Part | None:
        """Return what smaps says, if it may be read."""
        place, max_hold = self._reach.place, self._options.max_hold
        size = size_of_reads(columns, place, max_hold)
        return None if size is None else read_smaps(pagemap, place, size, max_hold)

    def _put_together(self, before: Columns, columns: Columns, parts: list[Part]) -> Memory:
        """Return the memory of the VMAs that exist at the end, from the parts."""
        changed = np.ones(len(columns), np.bool_)
        changed[same_rows(before, columns)[1]] = False
        return Memory(
            columns,
            figures_of_parts(columns, parts),
            how_of(columns, parts),
            changed=changed,
            changes=diff(before, columns),
            longest_hold_ns=max(self._holds.longest_ns, self._short.longest_ns),
            smaps=smaps_of(parts[0], columns),
        )
