"""The records of /proc/PID/maps, and the position of a walk between two fills.

The position is 0 at the start. Then it is the end, in bytes, of the VMA fetched last, so that a
merge cannot make the reader loop. At the end there are two sentinels. seq_file fetches a record
before it knows whether the record fits; last_pos is the position from which to fetch it again.
Compare fs/proc/task_mmu.c:m_start(), m_next(), m_stop(), proc_get_vma().
"""

import errno
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from untorn.errors import os_error
from untorn.fs.proc.base import ProcTask
from untorn.fs.proc.maps_locking import MapsLocking, PageWalkLocking
from untorn.fs.proc.show_map import gate_line, show_map
from untorn.fs.seq_file import SeqFile
from untorn.mm.calls.exit import mmput
from untorn.mm.mm_types import MmStruct, Vma, mmget_not_zero
from untorn.mm.vmas.driver import refuse_driver

SENTINEL_VMA_GATE = -2
SENTINEL_VMA_END = -1


class GateVma(NamedTuple):
    """The record after the last VMA: the vsyscall page, which all processes share."""

    vm_flags: int
    """See MmStruct.gate_vma_flags."""


Record = Vma | GateVma
L = TypeVar("L", bound=MapsLocking)


class ProcMaps(Generic[L]):
    """SeqOperations over the VMAs of one mm. Protected by the lock of its SeqFile."""

    __slots__ = ("_last_pos", "_locking", "_mm", "_started", "_task")

    def __init__(self, task: ProcTask, mm: MmStruct | None, locking: L | None) -> None:
        self._task = task
        self._mm = mm
        self._locking = locking
        self._last_pos = 0
        self._started = False  # between start() and stop(), with mm pinned and locking begun

    def start(self, m: SeqFile[Record]) -> Record | None:
        """Pin mm, begin locking and fetch the record at m.index (m_start)."""
        if m.index == SENTINEL_VMA_END:
            return None
        if self._task.reaped:
            raise os_error(errno.ESRCH)
        mm, locking = self._mm, self._locking
        # Pairs with the last mmput(): either the tree stays while mm is pinned, or the process has
        # no VMAs left.
        if mm is None or locking is None or not mmget_not_zero(mm):
            return None
        try:
            locking.lock_vma_range()
        except BaseException:  # EINTR, or an exception from a signal handler
            mmput(mm)
            raise
        self._started = True
        if m.index == SENTINEL_VMA_GATE:
            return self._gate(mm)
        # The last fill fetched the record at m.index, had no room for it, and released it. Fetch it
        # again from the position where that fetch began.
        if m.index > 0:
            m.index = self._last_pos
        locking.vma_iter_set(m.index)
        return self.next(m)

    def next(self, m: SeqFile[Record]) -> Record | None:
        """Fetch the next record (m_next and proc_get_vma). Preconditions: started."""
        index = m.index
        if index == SENTINEL_VMA_GATE:
            m.index = SENTINEL_VMA_END
            return None
        assert self._locking is not None
        self._last_pos = index  # set it first: a fetch that fails is repeated from here
        vma = self._locking.get_next_vma(index)
        if vma is not None:
            # Take the end of the locked VMA, not the end that the tree had at the lookup. The walk
            # never goes back below it, so ends strictly increase: rule 3 of the contract.
            m.index = vma.vm_end
            return vma
        m.index = SENTINEL_VMA_GATE
        assert self._mm is not None
        return self._gate(self._mm)

    def stop(self, m: SeqFile[Record]) -> None:
        """Release the locks and mm (m_stop)."""
        if not self._started:
            return
        self._started = False
        assert self._mm is not None
        assert self._locking is not None
        # Release mm last: unlocking a VMA may wake its writer, which waits in the mm.
        self._locking.unlock_vma_range()
        mmput(self._mm)

    def show(self, record: Record) -> bytes:
        """Return the record's line."""
        return gate_line(record.vm_flags) if isinstance(record, GateVma) else show_map(record)

    @staticmethod
    def _gate(mm: MmStruct) -> GateVma | None:
        return GateVma(mm.gate_vma_flags) if mm.gate_vma else None


def walk_pages(locking: PageWalkLocking, vma: Vma, file: str, gather: Callable[[], None]) -> None:
    """Call gather() for the pages of vma, which locking returned last. file is the file's name.

    Raises:
        NotModelledError: vma has a driver, so its resident pages are unknown.
    """
    refuse_driver(vma, file)
    locking.begin_page_walk()
    try:
        gather()
    finally:
        locking.end_page_walk(vma)
