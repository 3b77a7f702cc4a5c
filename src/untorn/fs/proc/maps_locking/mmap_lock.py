"""Hold mmap_lock for the whole fill. This is simple, but every writer waits for all of it.

Compare fs/proc/task_mmu.c before 6.17.
"""

from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mmap_lock import mmap_lock_is_contended, mmap_read_lock_killable, mmap_read_unlock
from untorn.mm.tree.vma_tree import VmaIterator


class MmapLocking:
    """See MapsLocking. One fill sees one state of the address space."""

    __slots__ = ("_locked", "_mm", "_vmi")

    def __init__(self, mm: MmStruct) -> None:
        self._mm = mm
        self._vmi = VmaIterator(mm.mm_mt)
        self._locked = False

    def lock_vma_range(self) -> None:
        """Take mmap_lock for reading."""
        mmap_read_lock_killable(self._mm)
        self._locked = True

    def vma_iter_set(self, addr: int) -> None:
        """Continue from addr."""
        self._vmi.set(addr)

    def get_next_vma(self, from_addr: int) -> Vma | None:
        """Return the next VMA. mmap_lock keeps all VMAs still."""
        # The iterator is at from_addr: nothing has changed since it was set.
        return self._vmi.next()

    def unlock_vma_range(self) -> None:
        """Release mmap_lock, unless give_way() failed to take it again."""
        if self._locked:
            self._locked = False
            mmap_read_unlock(self._mm)

    def begin_page_walk(self) -> None:
        """Do nothing: a task may sleep while it holds mmap_lock."""

    def end_page_walk(self, vma: Vma) -> None:
        """Do nothing."""

    def give_way(self, addr: int) -> None:
        """Let in the tasks that wait for mmap_lock."""
        if mmap_lock_is_contended(self._mm):
            self.unlock_vma_range()
            self.lock_vma_range()
            self._vmi.set(addr)

    def statistics(self) -> dict[str, int]:
        """Return nothing: this reader never has to retry."""
        return {}
