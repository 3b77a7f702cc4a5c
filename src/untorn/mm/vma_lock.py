"""The per-VMA lock: read locks that never wait, and a writer that waits for readers of one VMA.

The comments number the steps as docs/locking.md does. A reader that got LOCKED reads a VMA that
does not change, because vm_lock_seq is written only while FLAG keeps new readers out and all old
readers have left. A reader first increments the count and then loads vm_lock_seq. So either the
writer sees the count and waits, or the reader sees the new vm_lock_seq and leaves.

vma_start_read() may return BUSY for a VMA that no task has locked (the sequence wrapped, or the
object was just recycled); the caller then takes mmap_lock. It never grants a VMA that is being
written. Compare mm/mmap_lock.c and include/linux/mmap_lock.h.
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
    """Try to lock vma for reading. The caller found it in mm's tree without a lock.

    LOCKED says nothing about the range: since the lookup, the object may have shrunk, moved, or
    been recycled for another range of the same mm.

    Preconditions: RCU read lock held. It is still held after LOCKED, and dropped otherwise.
    """
    assert rcu_read_lock_held()
    # Step 1. The object is not stable yet: it may be freed, or belong to another mm by now. So this
    # test may be wrong either way. We act on it only to return BUSY, which is always allowed.
    if vma.vm_lock_seq == mm.mm_lock_seq:  # a cheap early exit; the test in step 4 decides
        rcu_read_unlock()
        return BUSY
    # Step 2. Once we have incremented the count, vma_mark_detached() waits for us, so the object
    # cannot be freed. Pairs with the store in vma_mark_attached(): a reader that sees a count above
    # 0 also sees the fields written before it. From FLAG on, which is above LIMIT, a writer keeps
    # new readers out.
    found = vma.vm_refcnt.inc_not_zero_limited(LIMIT)
    if not 0 < found < LIMIT:
        rcu_read_unlock()
        return BUSY if found else DETACHED
    if lockdep.on:
        lockdep.acquire(VMA_LOCK, vma, trylock=True)
    # Step 3. The object may have been recycled between the lookup and the increment. It no longer
    # can be, so vm_mm is stable. The caller checks for another range of the same mm.
    if vma.vm_mm is not mm:
        _put_foreign(vma)
        return BUSY
    # Step 4. This test decides. Pairs with the store in vma_start_write(), which happens with
    # readers excluded. If we incremented the count before FLAG was set, the writer waits for us and
    # has not stored yet. If we did so after FLAG was cleared, we see its store. So "not equal" is
    # never wrong. "Equal" may be, if the sequence wrapped; then we only lose one attempt.
    if vma.vm_lock_seq == mm.mm_lock_seq:
        vma_refcount_put(vma)
        rcu_read_unlock()
        return BUSY
    return LOCKED


def _put_foreign(vma: Vma) -> None:
    """Release an object that was recycled into another mm.

    The put may wake that mm's writer. After the put the mm may be torn down, even before the
    wake-up, so mmgrab() keeps it alive until the wake-up is done.
    """
    # While our count is in, that mm cannot be torn down: its writer would have to wait for us
    # before it could detach the object.
    other = vma.vm_mm
    # Leave RCU before mmdrop(), which may free a whole mm. Nothing below needs RCU.
    rcu_read_unlock()
    mmgrab(other)
    vma_refcount_put(vma)
    mmdrop(other)


def vma_start_read_locked(vma: Vma) -> bool:
    """Lock vma for reading. Return False only if too many readers hold it.

    Preconditions: mmap_lock held for read, so that no task can write-lock or detach vma.
    """
    mmap_assert_locked(vma.vm_mm)
    # No need to compare the sequences: write-locking and detaching need mmap_lock for write, which
    # nobody else can have now. For the same reason FLAG is clear, and only LIMIT can refuse.
    if not 0 < vma.vm_refcnt.inc_not_zero_limited(LIMIT) < LIMIT:
        return False
    if lockdep.on:
        lockdep.acquire(VMA_LOCK, vma, trylock=True)
    return True


def vma_refcount_put(vma: Vma) -> None:
    """Release a read lock. The last reader wakes the waiting writer."""
    # Load vm_mm first: the decrement must be our last access to vma. After it, vma can be freed and
    # recycled. Then vm_mm could be another mm, and we would wake the wrong writer.
    mm = vma.vm_mm  # kept alive by the caller
    if lockdep.on:
        lockdep.release(VMA_LOCK, vma)
    count = vma.vm_refcnt.add(-1)
    # Pairs with _exclude_readers(): change the count first, and look for the waiter then.
    # vma_start_write() waits for FLAG + 1, and vma_mark_detached() for FLAG. We cannot know which
    # of them waits, so the wake-up may be a needless one.
    if FLAG <= count <= FLAG + 1:
        mm.vma_writer_wait.wake_up()


vma_end_read = vma_refcount_put


def vma_is_write_locked(vma: Vma) -> bool:
    """Return whether vma is write-locked. Preconditions: mmap_lock held for write."""
    mmap_assert_write_locked(vma.vm_mm)
    return vma.vm_lock_seq == vma.vm_mm.mm_lock_seq


def vma_start_write(vma: Vma, *, killable: bool = False) -> None:
    """Write-lock vma until the end of this section. Wait for its readers to leave.

    There is no unlock of a single VMA: vma_end_write_all() drops all write locks at once.

    Preconditions: mmap_lock held for write.

    Raises:
        OSError: EINTR if killable and the task is killed first; vma is not locked then.
    """
    if vma_is_write_locked(vma):
        return
    # Step 5. At FLAG + 1, where 1 is the tree's reference, all readers have left and none can
    # enter. False means that vma is new or detached, so no reader could be inside.
    exclusive = _exclude_readers(vma, FLAG + 1, killable)
    # From this store to the end of the section, a reader that increments the count sees the store
    # and leaves. So FLAG need not stay set; otherwise the end of the section would have to visit
    # every VMA to clear it.
    vma.vm_lock_seq = vma.vm_mm.mm_lock_seq
    if exclusive:
        # Clear FLAG after the store. Pairs with step 4, where a reader that got past FLAG loads it.
        left = vma.vm_refcnt.add(-FLAG)
        assert left > 0, f"{vma} was detached while it was being write-locked"


def _exclude_readers(vma: Vma, target: int, killable: bool = False) -> bool:
    """Keep new readers out and wait until vm_refcnt falls to target; False if it was 0 already.

    Only one task can be here: the holder of mmap_lock (write). So one place to wait is enough.
    """
    mmap_assert_write_locked(vma.vm_mm)
    # Let lockdep check the order where the task may wait. It does not record the lock as held,
    # because there is no unlock of a single VMA that could release it.
    if lockdep.on:
        lockdep.acquire(VMA_LOCK, vma)
        lockdep.release(VMA_LOCK, vma)
    # From here on the count can only fall: in step 2 every reader finds more than LIMIT.
    if not vma.vm_refcnt.add_not_zero(FLAG):
        return False
    wait = vma.vm_mm.vma_writer_wait
    try:
        # Pairs with vma_refcount_put(), which wakes the writer at FLAG and FLAG + 1.
        if not wait.wait_event(lambda: vma.vm_refcnt.load() == target, killable=killable):
            raise os_error(errno.EINTR)
    except BaseException:  # EINTR, or an exception from a signal handler
        # Let readers in again: vm_lock_seq was not stored, so vma is not write-locked.
        vma.vm_refcnt.add(-FLAG)
        raise
    return True


def vma_mark_attached(vma: Vma) -> None:
    """Let readers in. Preconditions: write-locked, detached, all fields written."""
    vma_assert_write_locked(vma)
    assert vma.vm_refcnt.load() == 0, f"{vma} attached twice"
    # A plain store is enough: at 0 no reader changes the count. It publishes all fields and pairs
    # with step 2. Until the section ends, new readers still find vma write-locked.
    vma.vm_refcnt.store(1)


def vma_mark_detached(vma: Vma) -> None:
    """Keep readers out for good. Afterwards vma may be freed.

    Wait for readers that have incremented the count: they will see the write lock and leave.

    Preconditions: write-locked, attached.
    """
    vma_assert_write_locked(vma)
    # Step 6. Drop the tree's reference first. Usually no reader is left then, and at 0 none can
    # enter any more.
    if vma.vm_refcnt.add(-1) == 0:
        return
    # A reader has incremented the count since the write lock was taken. It does not read vma and is
    # about to leave, but it will decrement the count, and vma must not be freed before that. The
    # target is FLAG, because the tree's reference is gone.
    try:
        if _exclude_readers(vma, FLAG):
            vma.vm_refcnt.add(-FLAG)
    except BaseException:  # from a signal handler: it stays attached
        # Restore the tree's reference; _exclude_readers() has cleared FLAG.
        vma.vm_refcnt.add(1)
        raise


def vma_assert_write_locked(vma: Vma) -> None:
    """Check that vma was write-locked in this section."""
    assert vma_is_write_locked(vma), f"{vma} must be write-locked"


def vma_assert_attached(vma: Vma) -> None:
    """Check that vma is attached."""
    assert vma.vm_refcnt.load(), f"{vma} must be attached"


def vma_assert_locked(vma: Vma) -> None:
    """Check that some task has locked vma, for reading or writing."""
    count = vma.vm_refcnt.load()
    assert count, f"{vma} must be attached"
    # The count does not say which task reads, so this may pass for the wrong task. It never fails
    # for the right one.
    assert count > 1 or vma_is_write_locked(vma), f"{vma} must be locked"
