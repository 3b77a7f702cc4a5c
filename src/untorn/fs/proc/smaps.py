"""/proc/PID/smaps of an engine process: the lines of maps, and the resident pages of each VMA."""

from functools import partial

from untorn.fs.proc.maps_locking import PageWalkLocking
from untorn.fs.proc.smaps_gather import MemSizeStats, smap_gather_stats
from untorn.fs.proc.smaps_text import show_gate_smap, show_smap
from untorn.fs.proc.task_mmu import GateVma, ProcMaps, Record, walk_pages


class ProcSmaps(ProcMaps[PageWalkLocking]):
    """The records. Making one walks the page table of its VMA."""

    __slots__ = ()

    def show(self, record: Record) -> bytes:
        """Walk the record's pages and return its text. Raise as walk_pages()."""
        assert self._locking is not None
        assert self._mm is not None
        if isinstance(record, GateVma):
            return show_gate_smap(record.vm_flags, self._mm.release)
        mss = MemSizeStats()
        start = record.vm_start
        walk_pages(self._locking, record, "smaps", partial(smap_gather_stats, mss, record, start))
        return show_smap(record, mss)
