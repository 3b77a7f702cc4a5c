"""/proc/PID/smaps_rollup of an engine process: the sums of smaps, in one record.

Compare fs/proc/task_mmu.c:show_smaps_rollup().
"""

import errno
from functools import partial

from untorn.errors import os_error
from untorn.fs.proc.base import ProcTask
from untorn.fs.proc.maps_locking import PageWalkLocking
from untorn.fs.proc.smaps_gather import MemSizeStats, smap_gather_stats
from untorn.fs.proc.smaps_text import show_rollup
from untorn.fs.proc.task_mmu import walk_pages
from untorn.fs.seq_file import SeqFile
from untorn.mm.calls.exit import mmput
from untorn.mm.mm_types import MmStruct, mmget_not_zero
from untorn.releases.release import Release


class ProcSmapsRollup:
    """SeqOperations with one record, which is its text. Protected by the lock of its SeqFile."""

    __slots__ = ("_locking", "_mm", "_task")

    def __init__(
        self, task: ProcTask, mm: MmStruct | None, locking: PageWalkLocking | None
    ) -> None:
        """Raise OSError ESRCH if the process has no mm: then Linux shows not even an empty sum."""
        if mm is None or locking is None:
            raise os_error(errno.ESRCH)
        self._task = task
        self._mm = mm
        self._locking = locking

    def start(self, m: SeqFile[bytes]) -> bytes | None:
        """Make the text and return it, or return None at the end.

        Raises:
            OSError: ESRCH if the process was reaped or has no mm; EINTR if the task is killed
                while it waits for a writer.
        """
        if m.index > 0:
            return None
        if self._task.reaped or not mmget_not_zero(self._mm):
            raise os_error(errno.ESRCH)
        try:
            return rollup(self._locking, self._mm.release)
        finally:
            mmput(self._mm)

    def next(self, m: SeqFile[bytes]) -> None:
        """Move to the end: there is only one record."""
        m.index += 1

    def stop(self, m: SeqFile[bytes]) -> None:
        """Do nothing: no lock outlives start()."""

    def show(self, record: bytes) -> bytes:
        """Return the text."""
        return record


def rollup(locking: PageWalkLocking, release: Release) -> bytes:
    """Return the text of smaps_rollup for the VMAs that locking walks over.

    If a VMA grew over a range that was added already, only the rest is added. Between two VMAs,
    tasks that wait for mmap_lock can take it.

    Raises:
        OSError: EINTR if the task is killed while it waits for a writer.
        NotModelledError: As walk_pages().
    """
    mss = MemSizeStats()
    first_start = last_end = 0
    locking.lock_vma_range()
    try:
        locking.vma_iter_set(0)
        while (vma := locking.get_next_vma(last_end)) is not None:
            if last_end == 0:
                first_start = vma.vm_start
            start = max(vma.vm_start, last_end)
            walk_pages(locking, vma, "smaps_rollup", partial(smap_gather_stats, mss, vma, start))
            last_end = vma.vm_end
            locking.give_way(last_end)
    finally:
        locking.unlock_vma_range()
    return show_rollup(first_start, last_end, mss, release)
