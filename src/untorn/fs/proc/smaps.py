"""/proc/PID/smaps of an engine process: maps, and what is resident of each VMA."""

from functools import partial

from untorn.fs.proc.maps_locking import PageWalkLocking
from untorn.fs.proc.smaps_gather import MemSizeStats, smap_gather_stats
from untorn.fs.proc.smaps_text import show_gate_smap, show_smap
from untorn.fs.proc.task_mmu import GateVma, ProcMaps, Record, walk_pages


class ProcSmaps(ProcMaps[PageWalkLocking]):
    """The records; between those of maps, page tables are walked."""

    __slots__ = ()

    def show(self, record: Record) -> bytes:
        """Walk the record's pages and return its text; raises as walk_pages()."""
        assert self._locking is not None
        assert self._mm is not None
        if isinstance(record, GateVma):
            return show_gate_smap(record.vm_flags, self._mm.release)
        mss = MemSizeStats()
        start = record.vm_start
        walk_pages(self._locking, record, "smaps", partial(smap_gather_stats, mss, record, start))
        return show_smap(record, mss)
