"""Find a VMA without mmap_lock and lock it: the VMA at an address, or the next one of a walk.

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
"""After this many lookups whose VMA was detached, the reader takes mmap_lock. So writers cannot
keep it retrying for ever. Linux has no such bound."""


@dataclass(slots=True)
class WalkCounts:
    """How often writers got in the way of a walk. Owned by the walking task.

    Attributes:
        detached: A VMA was detached between lookup and lock, so the walk looked it up again.
        rechecks: The mm had changed when the walk came to a gap, so it looked it up again.
        fallbacks: The walk took mmap_lock for one VMA.
        reseats: The end of a VMA had changed between lookup and lock, so the walk moved its
            iterator to the new end.
    """

    detached: int = 0
    rechecks: int = 0
    fallbacks: int = 0
    reseats: int = 0


def lock_vma_under_rcu(mm: MmStruct, addr: int) -> Vma | None:
    """Return the VMA that holds addr, locked for reading, or None: then take mmap_lock instead.

    None is allowed even if addr is mapped. A VMA that does not hold addr is never returned.
    """
    for _ in LOOKUPS:
        rcu_read_lock()
        slot = mm.mm_mt.find_slot(addr)
        # Use the range in the tree and not vm_start: no field of the VMA can be trusted yet. If
        # nothing is there, a stack may be able to grow down to addr, which needs mmap_lock.
        if slot is None or slot[0] > addr:
            rcu_read_unlock()
            return None
        vma = slot[2]
        # This does steps 1 to 4, and leaves RCU unless it returns LOCKED.
        found = vma_start_read(mm, vma)
        if found is DETACHED:
            continue  # a writer detached it; look up what is there instead
        if found is not LOCKED:
            return None
        # The lock keeps the VMA alive now, so RCU is not needed, and the caller may sleep. The VMA
        # may have shrunk or moved, or been recycled for another range of this mm, between lookup
        # and lock. But now its range is stable, so this test is never wrong.
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

    The VMA may start below from_addr and end above it: it grew, merged or was split after the walk
    had passed it (the permitted duplicate). If there is a gap between from_addr and the VMA, the
    gap was unmapped at some moment during the call. Afterwards vmi is at the end of the VMA.

    Args:
        mm: The address space; the task holds neither its mmap_lock nor any VMA lock.
        vmi: The iterator, at from_addr.
        from_addr: The end of the VMA reported last, in bytes.
        counts: The counters to increase.

    Raises:
        OSError: EINTR if the task is killed while it waits for mmap_lock; EAGAIN if so many
            readers hold the VMA that only mmap_lock can keep it stable.

    Context: RCU read lock held before and after, also after an exception. The fallback drops it and
        may sleep until writers are done. After DETACHED the lookup is repeated, a bounded number of
        times: each DETACHED means that a writer detached the very VMA that the lookup returned.
    """
    assert rcu_read_lock_held()
    for _ in LOOKUPS:
        # Load the sequence before the lookup: if _gap_is_real() finds it unchanged, the version of
        # the tree that the lookup saw was current all the time in between.
        seq = mmap_lock_speculate_try_begin(mm)
        vma = vmi.next()
        # The version of the tree that was just loaded has nothing above. It was current during this
        # call, so the end of the walk needs no second lookup.
        if vma is None:
            return None
        found = vma_start_read(mm, vma)
        if found is not DETACHED:
            break
        counts.detached += 1
        # vma_start_read() left RCU. The iterator is at the end of the detached VMA, but whatever
        # replaced that VMA may begin below.
        rcu_read_lock()
        vmi.set(from_addr)
    else:
        rcu_read_unlock()
        # Writers were faster each time. Under mmap_lock there are none.
        return _fallback(mm, vmi, from_addr, counts)
    # BUSY: most likely a writer has locked the VMA. Wait for it at mmap_lock. RCU is left already.
    if found is not LOCKED:
        return _fallback(mm, vmi, from_addr, counts)
    # The VMA is locked and stable, so its range can be trusted now. Two results must be refused. A
    # VMA that ends at or below from_addr was moved or recycled, and says nothing about what comes
    # next. And a gap below the VMA may be a mix of two states, one from the lookup and one from the
    # lock, while something was mapped there in both. A VMA that merely starts too low is right: it
    # is the permitted duplicate.
    if from_addr >= vma.vm_end or (
        from_addr < vma.vm_start and not _gap_is_real(mm, vmi, from_addr, vma, seq, counts)
    ):
        # Unlock the VMA before waiting for mmap_lock: a writer that holds mmap_lock may be waiting
        # for us. See the lock order in mm/__init__.py.
        rcu_read_unlock()
        vma_end_read(vma)
        return _fallback(mm, vmi, from_addr, counts)
    if vmi.index != vma.vm_end:
        # The end of the VMA changed between lookup and lock. The next call will load a sequence
        # that is newer than that change, so it would not notice what now is between the two ends.
        # Linux leaves its iterator at the old end. So since 6.17 it can report a false gap.
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
    """Return whether [from_addr, vma.vm_start) was unmapped at some moment since seq was loaded.

    Preconditions: vma locked for reading, so that its own start cannot move.
    """
    if seq is not None and not mmap_lock_speculate_retry(mm, seq):
        return True  # nothing changed since the lookup
    counts.rechecks += 1
    # Look up again, in the version that is current now. The locked VMA cannot leave the tree or
    # change its start, so if it comes next again, that version has the gap. If another VMA comes
    # next, the caller falls back to mmap_lock: False is always allowed.
    vmi.set(from_addr)
    return vmi.next() is vma


def _fallback(
    mm: MmStruct, vmi: VmaIterator[Vma], from_addr: int, counts: WalkCounts
) -> Vma | None:
    """Look up and lock the next VMA under mmap_lock. Enter without RCU; return with it held."""
    counts.fallbacks += 1
    try:
        mmap_read_lock_killable(mm)
        try:
            # No writer is active, so this is the next VMA, and a gap before it is real.
            vma = mm.find_vma(from_addr)
            # Take the VMA lock under mmap_lock and keep it longer. So writers wait for this lookup
            # only, and not for what the caller does with the VMA.
            if vma is not None and not vma_start_read_locked(vma):
                raise os_error(errno.EAGAIN)
        finally:
            mmap_read_unlock(mm)
    finally:
        rcu_read_lock()  # as the caller expects, also after an exception
    # As above, the iterator must be at the end of the locked VMA, not where the lookup left it.
    vmi.set(from_addr if vma is None else vma.vm_end)
    return vma
