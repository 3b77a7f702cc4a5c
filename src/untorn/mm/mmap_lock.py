"""mmap_lock and the sequence that every write section moves.

mm_lock_seq is odd exactly while mmap_lock is held for write. One step of it at the end of a write
section drops the write locks of all VMAs at once. Compare include/linux/mmap_lock.h.
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
    """Let go of a read lock."""
    mm.mmap_lock.up_read()


def mmap_write_lock(mm: MmStruct) -> None:
    """Take mmap_lock for writing and begin a write section; may sleep."""
    mm.mmap_lock.down_write()
    # Odd from here on, before the first change: a speculating reader can tell that a writer is at
    # work. vma_start_write() marks a VMA as locked by giving it this number.
    _seq_step(mm)


def mmap_write_lock_killable(mm: MmStruct) -> None:
    """Take mmap_lock for writing and begin a write section.

    Raises:
        OSError: EINTR if the task is killed first; the sequence has not moved then.
    """
    mm.mmap_lock.down_write(killable=True)
    _seq_step(mm)


def mmap_write_lock_nested(mm: MmStruct) -> None:
    """Take mmap_lock of a child that is being made, under its parent's."""
    mm.mmap_lock.down_write(nested=True)
    _seq_step(mm)


def mmap_write_unlock(mm: MmStruct) -> None:
    """End the write section with all VMA write locks of it, and let go."""
    # In this order: the step is a load and a store, and is one step only for as long as no other
    # task can write the sequence.
    vma_end_write_all(mm)
    mm.mmap_lock.up_write()


def mmap_write_downgrade(mm: MmStruct) -> None:
    """End the write section with all VMA write locks of it, and keep a read lock."""
    # A read lock keeps everyone from changing anything, but not VMA readers from coming in: what is
    # to be out of their sight must be out of the tree by now.
    vma_end_write_all(mm)
    mm.mmap_lock.downgrade_write()


def vma_end_write_all(mm: MmStruct) -> None:
    """Drop every VMA write lock of this section. Preconditions: mmap_lock held for write.

    Pairs with the loads of mm_lock_seq in vma_start_read(): a reader that sees the new sequence
    sees the finished VMAs.
    """
    # One store for any number of VMAs. It makes each vm_lock_seq of this section an old number;
    # none of those VMAs is touched.
    mmap_assert_write_locked(mm)
    _seq_step(mm)


def mmap_assert_write_locked(mm: MmStruct) -> None:
    """Check that mmap_lock is held for write."""
    assert mm.mmap_lock.is_write_locked(), f"{mm.mmap_lock} must be held for write"


def mmap_assert_locked(mm: MmStruct) -> None:
    """Check that mmap_lock is held in some mode."""
    assert mm.mmap_lock.is_locked(), f"{mm.mmap_lock} must be held"


def mmap_lock_is_contended(mm: MmStruct) -> bool:
    """Say whether a task waits for mmap_lock, so that a long section had better pause."""
    return mm.mmap_lock.is_contended()


def mmap_lock_speculate_try_begin(mm: MmStruct) -> int | None:
    """Return the sequence to compare with later, or None while a writer is at work."""
    # This load comes before the lookups that it vouches for; that of mmap_lock_speculate_retry()
    # comes after them. Every section stores the number twice, once before its first change and once
    # after its last: so if both loads agree on an even number, nothing changed in between.
    seq = mm.mm_lock_seq
    return None if seq & 1 else seq


def mmap_lock_speculate_retry(mm: MmStruct, seq: int) -> bool:
    """Say whether a write section began since seq was taken."""
    # Wrong answers: it may miss writers if the 32 bits wrapped all the way round meanwhile, as
    # Linux's may.
    return mm.mm_lock_seq != seq


def _seq_step(mm: MmStruct) -> None:
    # Not atomic, and need not be: mmap_lock is held for write, so there is one writer. Readers load
    # the attribute once and get the old or the new number.
    mm.mm_lock_seq = (mm.mm_lock_seq + 1) & UINT_MAX
