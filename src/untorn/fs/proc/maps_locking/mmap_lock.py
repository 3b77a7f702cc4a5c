"""The whole fill under mmap_lock: simple, and every writer waits for all of it.

Compare fs/proc/task_mmu.c before 6.17.
"""

from untorn.mm.mm_struct import MmStruct
from untorn.mm.mmap_lock import mmap_read_lock_killable, mmap_read_unlock
from untorn.mm.vma import Vma
from untorn.mm.vma_tree import VmaIterator


class MmapLocking:
    """See MapsLocking. One fill is one consistent view."""

    __slots__ = ("_mm", "_vmi")

    def __init__(self, mm: MmStruct) -> None:
        self._mm = mm
        self._vmi = VmaIterator(mm.mm_mt)

    def lock_vma_range(self) -> None:
        """Take mmap_lock for reading."""
        mmap_read_lock_killable(self._mm)

    def vma_iter_set(self, addr: int) -> None:
        """Go on from addr."""
        self._vmi.set(addr)

    def get_next_vma(self, from_addr: int) -> Vma | None:
        """Return the next VMA; mmap_lock keeps all of them still."""
        vma: Vma | None = self._vmi.next()
        return vma

    def unlock_vma_range(self) -> None:
        """Let go of mmap_lock."""
        mmap_read_unlock(self._mm)

    def statistics(self) -> dict[str, int]:
        """Return nothing: this reader never has to try again."""
        return {}
