"""The records of /proc/PID/maps: where a walk stands between two fills, and who is kept alive.

Positions: 0 the start; otherwise the end, in bytes, of the VMA fetched last, so that a merge
cannot make a reader stand still; then two sentinels. seq_file fetches a record before it knows
whether it fits; last_pos is where to fetch it from again.
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
    """The record after the last VMA: the page of system calls that every process shares."""

    vm_flags: int
    """See MmStruct.gate_vma_flags."""


Record = Vma | GateVma
L = TypeVar("L", bound=MapsLocking)


class ProcMaps(Generic[L]):
    """SeqOperations over the VMAs of one mm; protected by the lock of its SeqFile."""

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
        # Pairs with the last mmput(): either the tree stays for as long as it is pinned, or the
        # process has no VMAs to tell of any more.
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
        # The record at m.index was fetched by the fill before, which had no room for it, and let go
        # of. What stands there now is fetched from where that fetch began.
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
        self._last_pos = index  # before the fetch: one that fails is made again from here
        vma = self._locking.get_next_vma(index)
        if vma is not None:
            # Its end as it was locked, not as the tree had it at the lookup. What lies below counts
            # as passed, so ends strictly increase: rule 3 of the contract.
            m.index = vma.vm_end
            return vma
        m.index = SENTINEL_VMA_GATE
        assert self._mm is not None
        return self._gate(self._mm)

    def stop(self, m: SeqFile[Record]) -> None:
        """Let go of locks and mm (m_stop)."""
        if not self._started:
            return
        self._started = False
        assert self._mm is not None
        assert self._locking is not None
        # The mm last: to let go of a VMA may wake its writer, which waits in the mm.
        self._locking.unlock_vma_range()
        mmput(self._mm)

    def show(self, record: Record) -> bytes:
        """Return the record's line."""
        return gate_line(record.vm_flags) if isinstance(record, GateVma) else show_map(record)

    @staticmethod
    def _gate(mm: MmStruct) -> GateVma | None:
        return GateVma(mm.gate_vma_flags) if mm.gate_vma else None


def walk_pages(locking: PageWalkLocking, vma: Vma, file: str, gather: Callable[[], None]) -> None:
    """Let gather() look at the pages of vma, which locking returned last, for a file.

    Raises:
        NotModelledError: It is a driver's mapping: what it has resident is not known.
    """
    refuse_driver(vma, file)
    locking.begin_page_walk()
    try:
        gather()
    finally:
        locking.end_page_walk(vma)
