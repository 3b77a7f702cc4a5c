"""mmap_lock and mm_lock_seq, the sequence number that every section increments twice.

A section is the time during which a writer holds mmap_lock for write. mm_lock_seq is odd exactly
during sections. The increment at the end of a section drops the write locks of all VMAs at once.
Compare include/linux/mmap_lock.h.
"""

from untorn.maps.page import UINT_MAX
from untorn.mm.mm_types import MmStruct


def mmap_read_lock(mm: MmStruct) -> None:
    """Take mmap_lock for reading; may sleep."""
    mm.mmap_lock.down_read()


def mmap_read_lock_killable(mm: MmStruct) -> None:
    """Take mmap_lock for reading.

    Raises:
        OSError: EINTR if the task is killed first.
    """
    mm.mmap_lock.down_read(killable=True)


def mmap_read_trylock(mm: MmStruct) -> bool:
    """Take mmap_lock for reading if that needs no wait."""
    return mm.mmap_lock.down_read_trylock()


def mmap_read_unlock(mm: MmStruct) -> None:
    """Release a read lock."""
    mm.mmap_lock.up_read()


def mmap_write_lock(mm: MmStruct) -> None:
    """Take mmap_lock for writing and begin a section; may sleep."""
    mm.mmap_lock.down_write()
    # The sequence is odd from here on, before the first change, so a speculating reader can tell
    # that a writer is active. vma_start_write() locks a VMA by storing this number in it.
    _seq_step(mm)


def mmap_write_lock_killable(mm: MmStruct) -> None:
    """Take mmap_lock for writing and begin a section.

    Raises:
        OSError: EINTR if the task is killed first; the sequence has not changed then.
    """
    mm.mmap_lock.down_write(killable=True)
    _seq_step(mm)


def mmap_write_lock_nested(mm: MmStruct) -> None:
    """Take mmap_lock of a child that fork is creating, while holding its parent's."""
    mm.mmap_lock.down_write(nested=True)
    _seq_step(mm)


def mmap_write_unlock(mm: MmStruct) -> None:
    """End the section, drop its VMA write locks, and release mmap_lock."""
    # The order matters: the increment is a load and a store, and is safe only while no other task
    # can write the sequence.
    vma_end_write_all(mm)
    mm.mmap_lock.up_write()


def mmap_write_downgrade(mm: MmStruct) -> None:
    """End the section, drop its VMA write locks, and keep mmap_lock for reading."""
    # The read lock keeps all writers out, but not VMA readers: whatever they must not see has to be
    # out of the tree by now.
    vma_end_write_all(mm)
    mm.mmap_lock.downgrade_write()


def vma_end_write_all(mm: MmStruct) -> None:
    """Drop every VMA write lock of this section. Preconditions: mmap_lock held for write.

    Pairs with the loads of mm_lock_seq in vma_start_read(): a reader that sees the new sequence
    sees the finished VMAs.
    """
    # One store unlocks any number of VMAs without touching them: no vm_lock_seq of this section
    # equals the new number.
    mmap_assert_write_locked(mm)
    _seq_step(mm)


def mmap_assert_write_locked(mm: MmStruct) -> None:
    """Check that mmap_lock is held for write."""
    assert mm.mmap_lock.is_write_locked(), f"{mm.mmap_lock} must be held for write"


def mmap_assert_locked(mm: MmStruct) -> None:
    """Check that mmap_lock is held in some mode."""
    assert mm.mmap_lock.is_locked(), f"{mm.mmap_lock} must be held"


def mmap_lock_is_contended(mm: MmStruct) -> bool:
    """Return whether a task waits for mmap_lock. If so, a long-time holder should pause."""
    return mm.mmap_lock.is_contended()


def mmap_lock_speculate_try_begin(mm: MmStruct) -> int | None:
    """Return the sequence for a later comparison, or None while a writer is active."""
    # This load comes before the lookups that it protects; the load in mmap_lock_speculate_retry()
    # comes after them. Every section stores the sequence before its first change and after its last
    # one. So if both loads return the same even number, nothing changed in between.
    seq = mm.mm_lock_seq
    return None if seq & 1 else seq


def mmap_lock_speculate_retry(mm: MmStruct, seq: int) -> bool:
    """Return whether a section has begun since seq was loaded."""
    # As in Linux, this may miss writers if the 32-bit sequence wrapped around completely meanwhile.
    return mm.mm_lock_seq != seq


def _seq_step(mm: MmStruct) -> None:
    # This need not be atomic: mmap_lock is held for write, so there is one writer. A reader loads
    # the attribute once and gets the old or the new number.
    mm.mm_lock_seq = (mm.mm_lock_seq + 1) & UINT_MAX
