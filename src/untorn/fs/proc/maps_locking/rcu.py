"""Copy each VMA under RCU, and use the copy if no writer came meanwhile.

This version was proposed first and abandoned. After any change of the address space, the reader
waits for the writer under mmap_lock and tries again. Nothing bounds the number of retries: they end
only when the writers pause. Compare the maps patches of January 2024 to April 2025.
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
    """See MapsLocking. It returns a private copy of each VMA."""

    __slots__ = ("_copy", "_in_rcu", "_mm", "_retries", "_seq", "_vmi")

    def __init__(self, mm: MmStruct) -> None:
        self._mm = mm
        self._vmi = VmaIterator(mm.mm_mt)
        self._copy = Vma()
        self._in_rcu = False
        self._seq = 0
        self._retries = 0

    def lock_vma_range(self) -> None:
        """Load the sequence and enter RCU."""
        seq = mmap_lock_speculate_try_begin(self._mm)
        self._seq = self._wait_for_writer() if seq is None else seq
        self._enter_rcu()

    def vma_iter_set(self, addr: int) -> None:
        """Continue from addr."""
        self._vmi.set(addr)

    def get_next_vma(self, from_addr: int) -> Vma | None:
        """Return a copy of the next VMA, taken while no writer was active."""
        while True:
            # A writer may be changing the VMA: the copy may mix two states, or be of a recycled
            # object. It is not used before the test below.
            vma = self._vmi.next()
            if vma is not None:
                self._copy.vm_mm = vma.vm_mm
                self._copy.copy_from(vma)
            # Pairs with the two increments of mm_lock_seq in each section. A retry because of a
            # writer of another VMA is allowed. A copy made while a writer was active is never used.
            if not mmap_lock_speculate_retry(self._mm, self._seq):
                return None if vma is None else self._copy
            # Only a pause of the writers ends this loop. That is the exception to rule 4 of the
            # contract, and the reason why this version was dropped.
            self._retries += 1
            self._leave_rcu()
            self._seq = self._wait_for_writer()
            self._enter_rcu()
            self._vmi.set(from_addr)

    def unlock_vma_range(self) -> None:
        """Leave RCU. Nothing else is held."""
        self._leave_rcu()

    def statistics(self) -> dict[str, int]:
        """Return how often a writer forced a retry."""
        return {"retries": self._retries}

    def _wait_for_writer(self) -> int:
        """Wait until no writer is active, and return the sequence then."""
        # The sequence is even while mmap_lock is held for read.
        mmap_read_lock_killable(self._mm)
        seq = self._mm.mm_lock_seq
        mmap_read_unlock(self._mm)
        return seq

    def _enter_rcu(self) -> None:
        rcu_read_lock()
        self._in_rcu = True

    def _leave_rcu(self) -> None:
        if self._in_rcu:  # False if the wait for a writer ended with EINTR
            rcu_read_unlock()
        self._in_rcu = False
