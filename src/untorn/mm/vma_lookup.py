"""Find a VMA without mmap_lock and lock it: one address, or the next of a walk.

Compare mm/mmap_lock.c:lock_vma_under_rcu() and lock_next_vma().
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from untorn.errors import os_error
from untorn.locking.rcu import rcu_read_lock, rcu_read_lock_held, rcu_read_unlock
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mmap_lock import (
    mmap_lock_speculate_retry,
    mmap_lock_speculate_try_begin,
    mmap_read_lock_killable,
    mmap_read_unlock,
)
from untorn.mm.tree.vma_tree import VmaIterator
from untorn.mm.vma_lock import (
    DETACHED,
    LOCKED,
    vma_end_read,
    vma_start_read,
    vma_start_read_locked,
)

LOOKUPS = range(3)
"""Lookups that may find their VMA detached before mmap_lock is taken: writers cannot keep a reader
looking for ever. Linux has no such bound."""


@dataclass(slots=True)
class WalkCounts:
    """How often a walk met a writer. Owned by the task that walks.

    Attributes:
        detached: A VMA was removed between lookup and lock; looked up again.
        rechecks: A gap came with a change of the address space; looked up again.
        fallbacks: mmap_lock was taken for one step.
        reseats: A VMA had changed its end between lookup and lock; the iterator was moved there.
    """

    detached: int = 0
    rechecks: int = 0
    fallbacks: int = 0
    reseats: int = 0


def lock_vma_under_rcu(mm: MmStruct, addr: int) -> Vma | None:
    """Return the VMA that holds addr, locked for reading, or None: take mmap_lock instead.

    Wrong answers: None for an address that is mapped is allowed; a VMA that does not hold addr
    never.
    """
    for _ in LOOKUPS:
        rcu_read_lock()
        slot = mm.mm_mt.find_slot(addr)
        # The tree is asked, not vm_start: no field of the VMA may be believed yet. Nothing there
        # may mean that a stack could grow down to addr, which only mmap_lock allows.
        if slot is None or slot[0] > addr:
            rcu_read_unlock()
            return None
        vma = slot[2]
        # Steps 1 to 4; RCU is dropped unless it says LOCKED.
        found = vma_start_read(mm, vma)
        if found is DETACHED:
            continue  # detached in a write section: the next look meets that, or its outcome
        if found is not LOCKED:
            return None
        # The lock keeps the VMA now, so RCU is not needed, and the caller may sleep. Between lookup
        # and lock the VMA may have shrunk or moved, or been recycled for another range of this mm.
        # The range is stable now: what is returned for it is never wrong.
        rcu_read_unlock()
        if vma.vm_start <= addr < vma.vm_end:
            return vma
        vma_end_read(vma)
        return None
    return None


def lock_next_vma(
    mm: MmStruct, vmi: VmaIterator[Vma], from_addr: int, counts: WalkCounts
) -> Vma | None:
    """Return the next VMA of a walk, locked for reading, or None at the end.

    A VMA that starts below from_addr but ends above it is returned: it grew, merged or was split
    since the walk passed (the permitted duplicate). A gap before it was there at some moment
    since the call. Afterwards vmi stands at the end of what is returned.

    Args:
        mm: The address space; its mmap_lock is not held, nor any VMA lock of the task.
        vmi: Stands at from_addr.
        from_addr: End of the VMA reported last, in bytes.
        counts: Is added to.

    Raises:
        OSError: EINTR if the task is killed while it waits for mmap_lock; EAGAIN if too many
            readers hold the VMA, and only mmap_lock can keep it still.

    Context: RCU read lock held before and after, also when it raises; dropped in the fallback,
        which may sleep until writers are done. A DETACHED answer repeats the lookup, in bounds:
        each means that a writer detached the very VMA that the lookup had just returned.
    """
    assert rcu_read_lock_held()
    for _ in LOOKUPS:
        # Before the lookup: if the sequence has not moved when _gap_is_real() looks at it, the
        # version of the tree that the lookup saw was current all the time in between.
        seq = mmap_lock_speculate_try_begin(mm)
        vma = vmi.next()
        # Nothing lies above in the version loaded just now. That is a state of this call: the end
        # needs no second look.
        if vma is None:
            return None
        found = vma_start_read(mm, vma)
        if found is not DETACHED:
            break
        counts.detached += 1
        # vma_start_read() dropped RCU. The iterator stands at the end of the VMA that went; what
        # took its place may begin below that.
        rcu_read_lock()
        vmi.set(from_addr)
    else:
        rcu_read_unlock()
        # Writers were faster each time. Under mmap_lock there are none.
        return _fallback(mm, vmi, from_addr, counts)
    # BUSY: most likely a writer has it; mmap_lock is where to wait for one. RCU is dropped already.
    if found is not LOCKED:
        return _fallback(mm, vmi, from_addr, counts)
    # Locked, and so stable: now the range may be looked at. Two answers would be wrong. A VMA that
    # ends where the walk has been already was moved or recycled, and says nothing about what comes
    # next. A gap below the VMA may be put together from two states, that of the lookup and that of
    # the lock, with something mapped there in either. A VMA that only starts too low is right: the
    # permitted duplicate.
    if from_addr >= vma.vm_end or (
        from_addr < vma.vm_start and not _gap_is_real(mm, vmi, from_addr, vma, seq, counts)
    ):
        # Let go of the VMA before mmap_lock is asked for: its writer, which may be waiting for us,
        # holds that. See the lock order in mm/__init__.py.
        rcu_read_unlock()
        vma_end_read(vma)
        return _fallback(mm, vmi, from_addr, counts)
    if vmi.index != vma.vm_end:
        # It changed its end between lookup and lock. The sequence sampled by the next call is past
        # that change, so nothing there would notice what now lies between the two ends. Linux
        # leaves its iterator where it stood: since 6.17 it can report a gap that was never there.
        counts.reseats += 1
        vmi.set(vma.vm_end)
    return vma


def _gap_is_real(
    mm: MmStruct,
    vmi: VmaIterator[Vma],
    from_addr: int,
    vma: Vma,
    seq: int | None,
    counts: WalkCounts,
) -> bool:
    """Say whether nothing was mapped from from_addr to vma at some moment since seq was taken.

    Preconditions: vma locked for reading, so that its own start cannot move.
    """
    if seq is not None and not mmap_lock_speculate_retry(mm, seq):
        return True  # nothing changed since the lookup
    counts.rechecks += 1
    # A second lookup, in the version that is current now. The locked VMA cannot leave the tree or
    # change its start, so if it comes next again, that version has the gap. If something else does,
    # or the VMA is not where it was, mmap_lock decides: False is always allowed.
    vmi.set(from_addr)
    return vmi.next() is vma


def _fallback(
    mm: MmStruct, vmi: VmaIterator[Vma], from_addr: int, counts: WalkCounts
) -> Vma | None:
    """Take one step under mmap_lock. RCU is not held on entry, and held on return."""
    counts.fallbacks += 1
    try:
        mmap_read_lock_killable(mm)
        try:
            # No writer is at work: what is next here is next, and a gap before it is one.
            vma = mm.find_vma(from_addr)
            # The VMA lock is taken under mmap_lock and outlives it, so that writers wait for this
            # one step and not for what the caller does with the VMA.
            if vma is not None and not vma_start_read_locked(vma):
                raise os_error(errno.EAGAIN)
        finally:
            mmap_read_unlock(mm)
    finally:
        rcu_read_lock()  # as the caller expects, also if it raises
    # Not where the lookup left it: the end is that of a VMA that is locked, as above.
    vmi.set(from_addr if vma is None else vma.vm_end)
    return vma
