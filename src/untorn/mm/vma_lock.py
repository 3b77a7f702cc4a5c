"""The per-VMA lock: read locks that never wait, and a writer that waits for readers of one VMA.

The steps are numbered as in docs/locking.md. Why a reader that got LOCKED reads a VMA that does
not change: vm_lock_seq is written only while FLAG keeps new readers out and all old ones have left.
The reader counts itself in first and looks at vm_lock_seq after; so either the writer sees the
count and waits, or the reader sees the new vm_lock_seq and leaves.

Wrong answers: vma_start_read() may call a free VMA BUSY (the sequence wrapped, or the object was
just recycled); the caller then takes mmap_lock. It never grants a VMA that is being written.
Compare mm/mmap_lock.c and include/linux/mmap_lock.h.
"""

import errno
from enum import Enum

from untorn.errors import os_error
from untorn.locking import lockdep
from untorn.locking.rcu import rcu_read_lock_held, rcu_read_unlock
from untorn.mm.mm_types import VM_REFCNT_EXCLUDE_READERS_FLAG as FLAG
from untorn.mm.mm_types import VM_REFCNT_LIMIT as LIMIT
from untorn.mm.mm_types import MmStruct, Vma, mmdrop, mmgrab
from untorn.mm.mmap_lock import mmap_assert_locked, mmap_assert_write_locked

VMA_LOCK = lockdep.LockClass("VMA lock")


class StartRead(Enum):
    """What vma_start_read() found."""

    LOCKED = "locked for reading"
    BUSY = "write-locked, of another mm, or at its limit: take mmap_lock"
    DETACHED = "not in any tree: look it up again"


LOCKED, BUSY, DETACHED = StartRead.LOCKED, StartRead.BUSY, StartRead.DETACHED


def vma_start_read(mm: MmStruct, vma: Vma) -> StartRead:
    """Try to lock vma, found without a lock in mm's tree, for reading.

    LOCKED says nothing about the range: the object may have shrunk, moved, or been recycled for
    another range of the same mm since it was looked up.

    Preconditions: RCU read lock held. It is still held if LOCKED, and dropped if not.
    """
    assert rcu_read_lock_held()
    # Step 1. Nothing keeps the object still yet: it may be freed or be another mm's by now. So
    # either answer may be wrong, and only BUSY is acted on: that is always allowed.
    if vma.vm_lock_seq == mm.mm_lock_seq:  # a cheap way out; what counts is the look below
        rcu_read_unlock()
        return BUSY
    # Step 2. Counted in, we keep the object from being freed: vma_mark_detached() waits for us.
    # Pairs with the store in vma_mark_attached(): a count above 0 comes with the fields written
    # before it. From FLAG on, which is more than LIMIT, a writer keeps new readers out.
    found = vma.vm_refcnt.inc_not_zero_limited(LIMIT)
    if not 0 < found < LIMIT:
        rcu_read_unlock()
        return BUSY if found else DETACHED
    if lockdep.on:
        lockdep.acquire(VMA_LOCK, vma, trylock=True)
    # Step 3. The object may have been recycled between the lookup and the count. Now it cannot be
    # any more, so what vm_mm says stays true. Same mm, other range: that is the caller's look.
    if vma.vm_mm is not mm:
        _put_foreign(vma)
        return BUSY
    # Step 4. This look decides. Pairs with the store in vma_start_write(), which is made with
    # readers excluded: if we counted ourselves in before FLAG was set, the writer waits for us and
    # has not stored yet; if we did so after FLAG was taken away, we see what it stored. So "not
    # equal" cannot be wrong. "Equal" can, by a sequence that wrapped: then we lose a try.
    if vma.vm_lock_seq == mm.mm_lock_seq:
        vma_refcount_put(vma)
        rcu_read_unlock()
        return BUSY
    return LOCKED


def _put_foreign(vma: Vma) -> None:
    """Let go of an object that was recycled into another mm.

    The put may wake that mm's writer. Once we have let go, the mm may exit without ever having
    slept, so it is kept alive until the wake-up is done.
    """
    # While we are counted in, that mm cannot be torn down: its writer would wait for us when it
    # detaches the object.
    other = vma.vm_mm
    # Before mmdrop(), which may have a whole mm to free: nothing of that needs RCU.
    rcu_read_unlock()
    mmgrab(other)
    vma_refcount_put(vma)
    mmdrop(other)


def vma_start_read_locked(vma: Vma) -> bool:
    """Lock vma for reading; False only if too many readers hold it.

    Preconditions: mmap_lock held for read, so that nothing can write-lock or detach vma.
    """
    mmap_assert_locked(vma.vm_mm)
    # No look at the sequences: write-locking and detaching need mmap_lock for write, which we keep
    # from everybody. So FLAG is not set either, and only LIMIT can refuse.
    if not 0 < vma.vm_refcnt.inc_not_zero_limited(LIMIT) < LIMIT:
        return False
    if lockdep.on:
        lockdep.acquire(VMA_LOCK, vma, trylock=True)
    return True


def vma_refcount_put(vma: Vma) -> None:
    """Let go of a read lock; the last reader wakes the writer that waits."""
    # Read first: the decrement is our last touch. After it vma can be freed and recycled, and its
    # vm_mm be another mm, whose writer we would wake instead of the one that waits.
    mm = vma.vm_mm  # kept alive by the caller
    if lockdep.on:
        lockdep.release(VMA_LOCK, vma)
    count = vma.vm_refcnt.add(-1)
    # Pairs with _exclude_readers(): the count is changed before the waiter is looked for. FLAG + 1
    # is what vma_start_write() waits for, FLAG what vma_mark_detached() does. Which of the two it
    # is cannot be told from here; the wrong one gets a needless wake-up.
    if FLAG <= count <= FLAG + 1:
        mm.vma_writer_wait.wake_up()


vma_end_read = vma_refcount_put


def vma_is_write_locked(vma: Vma) -> bool:
    """Say whether vma is write-locked. Preconditions: mmap_lock held for write."""
    mmap_assert_write_locked(vma.vm_mm)
    return vma.vm_lock_seq == vma.vm_mm.mm_lock_seq


def vma_start_write(vma: Vma, *, killable: bool = False) -> None:
    """Write-lock vma until the end of this write section; waits for its readers to leave.

    There is no per-VMA unlock: vma_end_write_all() drops all write locks at once.

    Preconditions: mmap_lock held for write.

    Raises:
        OSError: EINTR if killable and the task is killed first; vma is not locked then.
    """
    if vma_is_write_locked(vma):
        return
    # Step 5. With FLAG set and FLAG + 1 left (the one of the tree), all readers are gone and none
    # can come. False: vma is new or detached, so no reader could ever get in.
    exclusive = _exclude_readers(vma, FLAG + 1, killable)
    # From this store to the end of the section, readers that count themselves in see it and leave.
    # Hence FLAG need not stay; if it did, the end of the section would have to visit every VMA to
    # take it away.
    vma.vm_lock_seq = vma.vm_mm.mm_lock_seq
    if exclusive:
        # After the store: pairs with step 4, where a reader that gets past FLAG loads it.
        left = vma.vm_refcnt.add(-FLAG)
        assert left > 0, f"{vma} was detached while it was being write-locked"


def _exclude_readers(vma: Vma, target: int, killable: bool = False) -> bool:
    """Keep new readers out and wait until vm_refcnt falls to target; False if it was 0 already.

    Only one task can be here: the holder of mmap_lock (write). Hence one place to wait is enough.
    """
    mmap_assert_write_locked(vma.vm_mm)
    # The order is checked where the wait is. The lock is not noted as held: there is no unlock of
    # one VMA, where it could be taken off again.
    if lockdep.on:
        lockdep.acquire(VMA_LOCK, vma)
        lockdep.release(VMA_LOCK, vma)
    # From here on the count can only fall: step 2 of every reader finds more than LIMIT.
    if not vma.vm_refcnt.add_not_zero(FLAG):
        return False
    wait = vma.vm_mm.vma_writer_wait
    try:
        # Pairs with vma_refcount_put(), which wakes the writer at FLAG and FLAG + 1.
        if not wait.wait_event(lambda: vma.vm_refcnt.load() == target, killable=killable):
            raise os_error(errno.EINTR)
    except BaseException:  # EINTR, or an exception from a signal handler
        # Let readers in again: vm_lock_seq was not stored, so nothing was promised to the writer.
        vma.vm_refcnt.add(-FLAG)
        raise
    return True


def vma_mark_attached(vma: Vma) -> None:
    """Let readers in. Preconditions: write-locked, detached, all fields written."""
    vma_assert_write_locked(vma)
    assert vma.vm_refcnt.load() == 0, f"{vma} attached twice"
    # A plain store: at 0 no reader touches the count. It publishes all fields; pairs with step 2.
    # Readers that come now still meet the write lock, until the section ends.
    vma.vm_refcnt.store(1)


def vma_mark_detached(vma: Vma) -> None:
    """Keep readers out for good; afterwards vma may be freed.

    Readers that counted themselves in will see the write lock and leave; wait for them.

    Preconditions: write-locked, attached.
    """
    vma_assert_write_locked(vma)
    # Step 6. The one of the tree is taken away first. Mostly no reader is left then, and at 0 none
    # can come in any more.
    if vma.vm_refcnt.add(-1) == 0:
        return
    # A reader has counted itself in since the write lock was taken. It does not read vma, it is
    # about to leave; but it touches the count once more, and vma must not be freed before that. The
    # target is FLAG: the one of the tree is gone.
    try:
        if _exclude_readers(vma, FLAG):
            vma.vm_refcnt.add(-FLAG)
    except BaseException:  # from a signal handler: it stays attached
        # Give the tree its one back; _exclude_readers() took FLAG away.
        vma.vm_refcnt.add(1)
        raise


def vma_assert_write_locked(vma: Vma) -> None:
    """Check that vma is write-locked in this section."""
    assert vma_is_write_locked(vma), f"{vma} must be write-locked"


def vma_assert_attached(vma: Vma) -> None:
    """Check that vma is attached."""
    assert vma.vm_refcnt.load(), f"{vma} must be attached"


def vma_assert_locked(vma: Vma) -> None:
    """Check that some task holds vma, for reading or writing."""
    count = vma.vm_refcnt.load()
    assert count, f"{vma} must be attached"
    # A reader cannot be told from another, so this may pass for the wrong task; it never fails for
    # the right one.
    assert count > 1 or vma_is_write_locked(vma), f"{vma} must be locked"
