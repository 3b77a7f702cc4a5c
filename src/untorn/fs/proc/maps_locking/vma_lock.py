"""Hold one VMA lock at a time, so that a writer waits only for a reader of the VMA that it changes.

At most one VMA lock is held, and none while the reader waits for mmap_lock. RCU is held from start
to end, except in the fallback and during page table walks.
Compare fs/proc/task_mmu.c:get_next_vma() and lock_vma_range().
"""

from untorn.locking.rcu import rcu_read_lock, rcu_read_unlock
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mmap_lock import mmap_lock_is_contended, mmap_read_lock, mmap_read_unlock
from untorn.mm.tree.vma_tree import VmaIterator
from untorn.mm.vma_lock import vma_end_read
from untorn.mm.vma_lookup import WalkCounts, lock_next_vma


class VmaLocking:
    """See MapsLocking. Each VMA is seen in one state; writers may come between two VMAs."""

    __slots__ = ("_counts", "_locked_vma", "_mm", "_mmap_locked", "_vmi")

    def __init__(self, mm: MmStruct) -> None:
        self._mm = mm
        self._vmi = VmaIterator(mm.mm_mt)
        self._locked_vma: Vma | None = None
        self._mmap_locked = False
        self._counts = WalkCounts()

    def lock_vma_range(self) -> None:
        """Enter RCU. Take no lock yet."""
        rcu_read_lock()
        self._locked_vma = None
        self._mmap_locked = False

    def vma_iter_set(self, addr: int) -> None:
        """Continue from addr."""
        self._vmi.set(addr)

    def get_next_vma(self, from_addr: int) -> Vma | None:
        """Return the next VMA, read-locked; under mmap_lock after a VMA lock was at its limit."""
        if self._mmap_locked:
            return self._next_under_mmap_lock()
        # Unlock the VMA shown before first. With two locks held, a writer of one VMA could wait for
        # a reader that is at another, which rule 5 of the contract forbids. And the fallback could
        # deadlock with a writer that holds mmap_lock and waits for this reader.
        locked = self._locked_vma
        if locked is not None:
            self._locked_vma = None  # first: after a failure below, it must not be unlocked again
            vma_end_read(locked)
        try:
            # This does steps 1 to 4 of docs/locking.md, then checks the range and the gap. It may
            # return a permitted duplicate, but never leaves a false gap.
            vma = lock_next_vma(self._mm, self._vmi, from_addr, self._counts)
        except BlockingIOError:  # EAGAIN: vm_refcnt is at its limit
            self._fall_back(from_addr)
            return self._next_under_mmap_lock()
        self._locked_vma = vma
        return vma

    def unlock_vma_range(self) -> None:
        """Release the VMA lock, or mmap_lock."""
        if self._mmap_locked:
            mmap_read_unlock(self._mm)
            return
        if self._locked_vma is not None:
            vma_end_read(self._locked_vma)
        rcu_read_unlock()

    def begin_page_walk(self) -> None:
        """Leave RCU. The VMA lock is enough: no part of a read-locked VMA can be unmapped."""
        # Pairs with steps 5 and 6: munmap, mmap over the VMA and mremap keep readers out before
        # they clear a page. Faults and advice may change pages during the walk, but each access to
        # a table holds the page table's lock.
        if not self._mmap_locked:
            rcu_read_unlock()

    def end_page_walk(self, vma: Vma) -> None:
        """Enter RCU again and set the iterator anew: the nodes it remembers may be gone by now."""
        if not self._mmap_locked:
            # vm_end cannot have changed, because vma is locked. A reader that sets its iterator
            # after each VMA finds no false gap. That is why Linux has none in smaps since 7.2.
            rcu_read_lock()
            self._vmi.set(vma.vm_end)

    def give_way(self, addr: int) -> None:
        """Return from mmap_lock to VMA locks if a task waits for mmap_lock."""
        # A VMA lock is released at the next VMA anyway. Only mmap_lock would be held to the end.
        if self._mmap_locked and mmap_lock_is_contended(self._mm):
            self.unlock_vma_range()
            self.lock_vma_range()
            self._vmi.set(addr)

    def statistics(self) -> dict[str, int]:
        """Return the counts of WalkCounts."""
        return {name: getattr(self._counts, name) for name in WalkCounts.__slots__}

    def _fall_back(self, from_addr: int) -> None:
        """Take mmap_lock for the rest of the fill. Preconditions: RCU held, no VMA lock held."""
        # A task must not sleep under RCU. The tree may change until mmap_lock is held, so set the
        # iterator to the position of the walk, and not to its own position in the old tree.
        rcu_read_unlock()
        mmap_read_lock(self._mm)
        self._mmap_locked = True
        self._vmi.set(from_addr)

    def _next_under_mmap_lock(self) -> Vma | None:
        return self._vmi.next()
