"""Copy each VMA under RCU and believe the copy if no writer came meanwhile.

The version that was proposed first and abandoned: any change anywhere in the address space makes
the reader wait the writer out under mmap_lock and look again, as often as it takes. The number
of retries is not bounded by anything but the writers' pauses.
Compare the maps patches of January 2024 to April 2025.
"""

from untorn.locking.rcu import rcu_read_lock, rcu_read_unlock
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mmap_lock import (
    mmap_lock_speculate_retry,
    mmap_lock_speculate_try_begin,
    mmap_read_lock_killable,
    mmap_read_unlock,
)
from untorn.mm.tree.vma_tree import VmaIterator


class RcuLocking:
    """See MapsLocking. What it returns is a copy that nobody else has."""

    __slots__ = ("_copy", "_in_rcu", "_mm", "_retries", "_seq", "_vmi")

    def __init__(self, mm: MmStruct) -> None:
        self._mm = mm
        self._vmi = VmaIterator(mm.mm_mt)
        self._copy = Vma()
        self._in_rcu = False
        self._seq = 0
        self._retries = 0

    def lock_vma_range(self) -> None:
        """Sample the sequence and enter RCU."""
        seq = mmap_lock_speculate_try_begin(self._mm)
        self._seq = self._wait_for_writer() if seq is None else seq
        self._enter_rcu()

    def vma_iter_set(self, addr: int) -> None:
        """Go on from addr."""
        self._vmi.set(addr)

    def get_next_vma(self, from_addr: int) -> Vma | None:
        """Return a copy of the next VMA, as it stood in a state without a writer."""
        while True:
            # A writer may be at work on what is copied: the copy can be half of one state and half
            # of another, or of an object that was recycled. Until the next look nobody uses it.
            vma = self._vmi.next()
            if vma is not None:
                self._copy.vm_mm = vma.vm_mm
                self._copy.copy_from(vma)
            # Pairs with the two steps that each write section makes of mm_lock_seq. To retry for a
            # writer of another VMA is allowed, to believe a copy that met one never.
            if not mmap_lock_speculate_retry(self._mm, self._seq):
                return None if vma is None else self._copy
            # Nothing bounds this but the writers' pauses: the exception to rule 4 of the contract,
            # and why this version was dropped.
            self._retries += 1
            self._leave_rcu()
            self._seq = self._wait_for_writer()
            self._enter_rcu()
            self._vmi.set(from_addr)

    def unlock_vma_range(self) -> None:
        """Leave RCU; there is nothing else to let go of."""
        self._leave_rcu()

    def statistics(self) -> dict[str, int]:
        """Return how often a writer made it look again."""
        return {"retries": self._retries}

    def _wait_for_writer(self) -> int:
        """Return the sequence of a moment without a writer."""
        # Even while mmap_lock is held for read, so a copy can be compared with it.
        mmap_read_lock_killable(self._mm)
        seq = self._mm.mm_lock_seq
        mmap_read_unlock(self._mm)
        return seq

    def _enter_rcu(self) -> None:
        rcu_read_lock()
        self._in_rcu = True

    def _leave_rcu(self) -> None:
        if self._in_rcu:  # not after EINTR in the wait for a writer
            rcu_read_unlock()
        self._in_rcu = False
