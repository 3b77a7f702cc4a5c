"""/proc/PID/smaps of an engine process: maps, and what is resident of each VMA."""

from untorn.fs.proc.base import ProcTask
from untorn.fs.proc.maps_locking import PageWalkLocking
from untorn.fs.proc.smaps_gather import MemSizeStats, smap_gather_stats
from untorn.fs.proc.smaps_text import show_gate_smap, show_smap
from untorn.fs.proc.task_mmu import GateVma, ProcMaps, Record
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.vmas.driver import refuse_driver


class ProcSmaps(ProcMaps):
    """The records; between those of maps, page tables are walked."""

    __slots__ = ("_walk",)

    def __init__(
        self, task: ProcTask, mm: MmStruct | None, locking: PageWalkLocking | None
    ) -> None:
        super().__init__(task, mm, locking)
        self._walk = locking

    def show(self, record: Record) -> bytes:
        """Walk the record's pages and return its text; raises as walk_pages()."""
        if isinstance(record, GateVma):
            return show_gate_smap(record.vm_flags)
        assert self._walk is not None
        mss = MemSizeStats()
        walk_pages(self._walk, mss, record, record.vm_start)
        return show_smap(record, mss)


def walk_pages(locking: PageWalkLocking, mss: MemSizeStats, vma: Vma, start: int) -> None:
    """Add the pages of vma, which locking returned last, from byte address start on.

    Raises:
        NotModelledError: It is a driver's mapping: what it has resident is not known.
    """
    refuse_driver(vma, "smaps")
    locking.begin_page_walk()
    try:
        smap_gather_stats(mss, vma, start)
    finally:
        locking.end_page_walk(vma)
