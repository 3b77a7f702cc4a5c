"""One VMA lock at a time: a writer waits only for a reader of the very VMA that it changes.

At most one VMA lock is held, and never while mmap_lock is asked for. RCU is held from begin to
end except in the fallback and while page tables are walked.
Compare fs/proc/task_mmu.c:get_next_vma() and lock_vma_range().
"""

from untorn.locking.rcu import rcu_read_lock, rcu_read_unlock
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mmap_lock import mmap_lock_is_contended, mmap_read_lock, mmap_read_unlock
from untorn.mm.tree.vma_tree import VmaIterator
from untorn.mm.vma_lock import vma_end_read
from untorn.mm.vma_lookup import WalkCounts, lock_next_vma


class VmaLocking:
    """See MapsLocking. Each VMA is seen whole; writers may come in between two of them."""

    __slots__ = ("_counts", "_locked_vma", "_mm", "_mmap_locked", "_vmi")

    def __init__(self, mm: MmStruct) -> None:
        self._mm = mm
        self._vmi = VmaIterator(mm.mm_mt)
        self._locked_vma: Vma | None = None
        self._mmap_locked = False
        self._counts = WalkCounts()

    def lock_vma_range(self) -> None:
        """Enter RCU; no lock is taken yet."""
        rcu_read_lock()
        self._locked_vma = None
        self._mmap_locked = False

    def vma_iter_set(self, addr: int) -> None:
        """Go on from addr."""
        self._vmi.set(addr)

    def get_next_vma(self, from_addr: int) -> Vma | None:
        """Return the next VMA, read-locked, or under mmap_lock once its lock was at its limit."""
        if self._mmap_locked:
            return self._next_under_mmap_lock()
        # The VMA shown before is let go of first. With two locks held, the writer of one VMA could
        # wait for a reader that is at another, which rule 5 of the contract forbids; and the
        # fallback could deadlock with a writer that holds mmap_lock and waits for this reader.
        locked = self._locked_vma
        if locked is not None:
            self._locked_vma = None  # before the put: a failure below must not put it again
            vma_end_read(locked)
        try:
            # Steps 1 to 4 of docs/locking.md, then the looks at range and gap. A permitted
            # duplicate may come back, a gap that was never there may not.
            vma = lock_next_vma(self._mm, self._vmi, from_addr, self._counts)
        except BlockingIOError:  # EAGAIN: as many readers as vm_refcnt can count
            self._fall_back(from_addr)
            return self._next_under_mmap_lock()
        self._locked_vma = vma
        return vma

    def unlock_vma_range(self) -> None:
        """Let go of the VMA, or of mmap_lock."""
        if self._mmap_locked:
            mmap_read_unlock(self._mm)
            return
        if self._locked_vma is not None:
            vma_end_read(self._locked_vma)
        rcu_read_unlock()

    def begin_page_walk(self) -> None:
        """Leave RCU; the VMA lock is enough, as nothing of a VMA that is read can be unmapped."""
        # Pairs with steps 5 and 6: munmap, mmap over it and mremap keep readers out before they
        # clear a page. Faults and advice may come in between; each look has the page table's lock.
        if not self._mmap_locked:
            rcu_read_unlock()

    def end_page_walk(self, vma: Vma) -> None:
        """Enter RCU again and seat the iterator anew: what it remembers may be gone by now."""
        if not self._mmap_locked:
            # vm_end is still what was locked: nobody can move it. A reader that is seated anew
            # after each VMA meets no false gap, which is why Linux has none in smaps since 7.2.
            rcu_read_lock()
            self._vmi.set(vma.vm_end)

    def give_way(self, addr: int) -> None:
        """Go back to VMA locks if the rest was to be done under mmap_lock and somebody waits."""
        # A VMA lock is let go of at the next step anyway; only a fallback lasts to the end.
        if self._mmap_locked and mmap_lock_is_contended(self._mm):
            self.unlock_vma_range()
            self.lock_vma_range()
            self._vmi.set(addr)

    def statistics(self) -> dict[str, int]:
        """Return the counts of WalkCounts."""
        return {name: getattr(self._counts, name) for name in WalkCounts.__slots__}

    def _fall_back(self, from_addr: int) -> None:
        """Do the rest under mmap_lock. Preconditions: RCU held, no VMA lock held."""
        # Nobody may sleep under RCU. Until mmap_lock is held the tree may change, so the iterator
        # is seated where the walk stands, not where it stood in the old tree.
        rcu_read_unlock()
        mmap_read_lock(self._mm)
        self._mmap_locked = True
        self._vmi.set(from_addr)

    def _next_under_mmap_lock(self) -> Vma | None:
        return self._vmi.next()
