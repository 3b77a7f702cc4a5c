"""The per-VMA lock: how tasks take it, release it, and wait for it."""

import pytest

from tests.helpers.engine import Pages
from tests.helpers.tasks import Worker, ctrl_c_ends_waits, wait_until
from untorn.locking import sync
from untorn.locking.rcu import rcu_read_lock, rcu_read_unlock
from untorn.maps.page import UINT_MAX
from untorn.mm.calls.exit import mmput
from untorn.mm.mm_types import (
    VM_REFCNT_EXCLUDE_READERS_FLAG,
    VM_REFCNT_LIMIT,
    MmStruct,
    Vma,
    VmaSlab,
    mmdrop,
    mmgrab,
)
from untorn.mm.mman import PROT_READ
from untorn.mm.mmap_lock import (
    mmap_read_lock,
    mmap_read_unlock,
    mmap_write_downgrade,
    mmap_write_lock,
    mmap_write_unlock,
)
from untorn.mm.vma_lock import (
    BUSY,
    DETACHED,
    LOCKED,
    StartRead,
    vma_assert_attached,
    vma_assert_locked,
    vma_assert_write_locked,
    vma_end_read,
    vma_mark_attached,
    vma_mark_detached,
    vma_start_read,
    vma_start_read_locked,
    vma_start_write,
)

FLAG = VM_REFCNT_EXCLUDE_READERS_FLAG


def start_read(mm: MmStruct, vma: Vma) -> StartRead:
    """Lock vma as a reader would, and leave RCU if the call did not."""
    rcu_read_lock()
    found = vma_start_read(mm, vma)
    if found is LOCKED:
        rcu_read_unlock()
    return found


@pytest.fixture
def process() -> Pages:
    process = Pages()
    process.map(0, 3)
    return process


def test_a_reader_locks_a_free_vma_and_lets_go(process: Pages) -> None:
    vma = process.vma(0)
    assert start_read(process.mm, vma) is LOCKED
    assert vma.vm_refcnt.load() == 2
    vma_assert_locked(vma)
    vma_end_read(vma)
    assert vma.vm_refcnt.load() == 1


def test_readers_share_a_vma(process: Pages) -> None:
    vma = process.vma(0)
    assert start_read(process.mm, vma) is LOCKED
    assert Worker(lambda: (start_read(process.mm, vma), vma_end_read(vma))[0]).join() is LOCKED
    vma_end_read(vma)


def test_a_write_locked_vma_is_busy_and_free_again_after_the_section(process: Pages) -> None:
    mm, vma = process.mm, process.vma(0)
    mmap_write_lock(mm)
    vma_start_write(vma)
    assert Worker(lambda: start_read(mm, vma)).join() is BUSY
    assert vma.vm_refcnt.load() == 1, "a reader that met the write lock left no count behind"
    mmap_write_unlock(mm)
    assert start_read(mm, vma) is LOCKED
    vma_end_read(vma)


def test_a_downgrade_drops_the_vma_write_locks_with_mmap_lock_still_held(process: Pages) -> None:
    mm, vma = process.mm, process.vma(0)
    mmap_write_lock(mm)
    vma_start_write(vma)
    mmap_write_downgrade(mm)
    assert start_read(mm, vma) is LOCKED
    vma_end_read(vma)
    mmap_read_unlock(mm)


def test_a_reader_that_finds_the_write_lock_after_its_increment_backs_out(process: Pages) -> None:
    # 1. The reader sees a free VMA (first test of the sequence). 2. A writer write-locks it.
    # 3. The reader increments the count: now it must see the write lock, and leave.
    mm, vma = process.mm, process.vma(0)

    class Refcount(sync.AtomicInt):
        def inc_not_zero_limited(self, limit: int) -> int:
            vma.vm_lock_seq = mm.mm_lock_seq = mm.mm_lock_seq + 1
            return super().inc_not_zero_limited(limit)

    vma.vm_refcnt = Refcount(1)
    assert start_read(mm, vma) is BUSY
    assert vma.vm_refcnt.load() == 1


def test_a_detached_vma_is_to_be_looked_up_again(process: Pages) -> None:
    vma = process.vma(0)
    process.unmap(0, 3)
    assert start_read(process.mm, vma) is DETACHED


def test_a_vma_at_the_limit_of_readers_is_busy(process: Pages) -> None:
    mm, vma = process.mm, process.vma(0)
    vma.vm_refcnt.store(VM_REFCNT_LIMIT)
    assert start_read(mm, vma) is BUSY
    mmap_read_lock(mm)
    assert not vma_start_read_locked(vma)
    mmap_read_unlock(mm)
    assert vma.vm_refcnt.load() == VM_REFCNT_LIMIT
    vma.vm_refcnt.store(1)


def test_an_object_recycled_into_another_mm_is_busy_and_given_back() -> None:
    slab = VmaSlab()
    mine, other = Pages(slab), Pages(slab)
    mine.map(0, 3)
    vma = mine.vma(0)
    mine.unmap(0, 3)
    other.map(5, 6)
    assert other.vma(5) is vma, "the object freed last is used first"
    assert start_read(mine.mm, vma) is BUSY
    assert vma.vm_refcnt.load() == 1


def test_an_object_recycled_into_the_same_mm_is_locked_whatever_its_range_is(
    process: Pages,
) -> None:
    vma = process.vma(0)
    process.unmap(0, 3)
    process.map(7, 8)
    assert process.vma(7) is vma
    assert start_read(process.mm, vma) is LOCKED, "the caller has to check the range"
    vma_end_read(vma)


def test_the_put_of_a_foreign_vma_wakes_the_writer_of_its_own_mm() -> None:
    # 1. The reader of `mine` increments the count of an object that now belongs to `other`.
    # 2. The writer of `other` waits for it. 3. The put must wake that writer.
    slab = VmaSlab()
    mine, other = Pages(slab), Pages(slab)
    other.map(5, 6)
    vma = other.vma(5)
    writers: list[Worker[None]] = []

    class Refcount(sync.AtomicInt):
        def inc_not_zero_limited(self, limit: int) -> int:
            found = super().inc_not_zero_limited(limit)
            writers.append(Worker(lambda: other.unmap(5, 6)))
            wait_until(lambda: writers[0].task._permit.locked() and other.mm.vma_writer_wait.task)
            return found

    vma.vm_refcnt = Refcount(1)
    assert start_read(mine.mm, vma) is BUSY
    writers[0].join()


def test_while_a_writer_waits_no_reader_enters(process: Pages) -> None:
    vma = process.vma(0)
    assert start_read(process.mm, vma) is LOCKED
    writer = Worker(lambda: process.unmap(0, 3))
    wait_until(lambda: vma.vm_refcnt.load() & FLAG, "the writer's flag")
    assert start_read(process.mm, vma) is BUSY
    vma_end_read(vma)
    writer.join()


def test_a_foreign_mm_may_exit_while_its_vma_is_put(process: Pages) -> None:
    # The wake-up in the put touches the other mm: it must outlive the put although its last
    # user leaves as soon as the reader has decremented the count.
    other = Pages(process.mm.vm_area_cachep)
    other.map(5, 6)
    vma = other.vma(5)
    mmput_done: list[bool] = []

    class Refcount(sync.AtomicInt):
        def add(self, delta: int) -> int:
            left = super().add(delta)
            if not mmput_done:
                mmput_done.append(True)
                mmput(other.mm)
                return FLAG + 1  # as if a writer of other were waiting
            return left

    vma.vm_refcnt = Refcount(1)
    assert start_read(process.mm, vma) is BUSY
    assert mmput_done
    assert not hasattr(other.mm, "vma_writer_wait"), "nothing keeps it alive any longer"


def test_a_structure_without_references_cannot_be_woken(process: Pages) -> None:
    mmgrab(process.mm)
    mmput(process.mm)
    assert process.mm.vma_writer_wait is not None
    mmdrop(process.mm)
    with pytest.raises(AttributeError):
        process.mm.vma_writer_wait.wake_up()


def test_a_writer_waits_for_the_readers_of_its_vma_only(process: Pages) -> None:
    process.map(5, 6)
    far = process.vma(5)
    assert start_read(process.mm, far) is LOCKED
    Worker(lambda: process.unmap(0, 1)).join()
    vma_end_read(far)
    vma = process.vma(1)
    assert start_read(process.mm, vma) is LOCKED
    writer = Worker(lambda: process.unmap(1, 3))
    wait_until(lambda: vma.vm_refcnt.load() & FLAG, "the writer's flag")
    assert not writer.done
    vma_end_read(vma)
    writer.join()


def test_new_flags_of_a_whole_vma_wait_for_its_readers(process: Pages) -> None:
    vma = process.vma(0)
    assert start_read(process.mm, vma) is LOCKED
    writer = Worker(lambda: process.protect(0, 3, PROT_READ))
    wait_until(lambda: vma.vm_refcnt.load() & FLAG, "the writer's flag")
    assert not writer.done
    vma_end_read(vma)
    writer.join()


@pytest.mark.parametrize("page", [0, 3])
def test_moving_a_border_waits_for_the_readers_on_either_side(process: Pages, page: int) -> None:
    # AAAB   page 2 gets B's protection: A shrinks, B grows
    process.map(3, 4, PROT_READ)
    vma = process.vma(page)
    assert start_read(process.mm, vma) is LOCKED
    writer = Worker(lambda: process.protect(2, 3, PROT_READ))
    wait_until(lambda: vma.vm_refcnt.load() & FLAG, "the writer's flag")
    assert not writer.done
    vma_end_read(vma)
    writer.join()
    assert process.diagram(5) == "AABB."


def test_detaching_waits_for_a_reader_that_is_about_to_back_out(process: Pages) -> None:
    # 1. The reader finds no write lock. 2. A writer write-locks the VMA. 3. The reader increments
    # the count. 4. The writer detaches, and waits. 5. The reader sees the write lock, and its put
    # must wake the writer.
    mm, vma = process.mm, process.vma(0)

    def detach() -> None:
        mmap_write_lock(mm)
        vma_start_write(vma)
        locked.append(True)
        wait_until(lambda: counted, "the reader")
        vma_mark_detached(vma)
        vma_mark_attached(vma)
        mmap_write_unlock(mm)

    class Refcount(sync.AtomicInt):
        def inc_not_zero_limited(self, limit: int) -> int:
            writers.append(Worker(detach))
            wait_until(lambda: locked, "the write lock")
            found = super().inc_not_zero_limited(limit)
            counted.append(True)
            wait_until(lambda: self.load() == FLAG + 1 and mm.vma_writer_wait.task, "the detacher")
            assert not writers[0].done
            return found

    locked: list[bool] = []
    counted: list[bool] = []
    writers: list[Worker[None]] = []
    vma.vm_refcnt = Refcount(1)
    assert start_read(mm, vma) is BUSY
    writers[0].join()
    assert vma.vm_refcnt.load() == 1


def test_a_killed_writer_gives_the_vma_back_unlocked(process: Pages) -> None:
    mm, vma = process.mm, process.vma(0)
    assert start_read(mm, vma) is LOCKED

    def write() -> None:
        mmap_write_lock(mm)
        try:
            vma_start_write(vma, killable=True)
        finally:
            mmap_write_unlock(mm)

    writer = Worker(write)
    wait_until(lambda: vma.vm_refcnt.load() & FLAG, "the writer's flag")
    writer.task.kill()
    with pytest.raises(InterruptedError):
        writer.join()
    assert vma.vm_refcnt.load() == 2
    assert Worker(lambda: (start_read(mm, vma), vma_end_read(vma))[0]).join() is LOCKED
    vma_end_read(vma)


def test_ctrl_c_in_a_writers_wait_leaves_the_vma_as_it_was(process: Pages) -> None:
    vma = process.vma(0)
    vma.vm_refcnt.add(1)  # somebody reads it
    with ctrl_c_ends_waits(), pytest.raises(KeyboardInterrupt):
        process.unmap(0, 3)
    assert vma.vm_refcnt.add(-1) == 1
    process.unmap(0, 3)


def test_ctrl_c_in_the_wait_to_detach_leaves_the_vma_attached(process: Pages) -> None:
    mm, vma = process.mm, process.vma(0)
    mmap_write_lock(mm)
    vma_start_write(vma)
    vma.vm_refcnt.add(1)  # a reader that has not seen the write lock yet
    with ctrl_c_ends_waits(), pytest.raises(KeyboardInterrupt):
        vma_mark_detached(vma)
    assert vma.vm_refcnt.add(-1) == 1
    mmap_write_unlock(mm)


def test_ctrl_c_in_the_wait_for_a_neighbour_leaves_the_old_mappings(process: Pages) -> None:
    # AAABBC   map pages 3 and 4 over B and merge with A, which a reader holds
    process.map(3, 5, PROT_READ)
    process.map(5, 6)
    prev = process.vma(0)
    prev.vm_refcnt.add(1)  # somebody reads it
    with ctrl_c_ends_waits(), pytest.raises(KeyboardInterrupt):
        process.map(3, 5)
    prev.vm_refcnt.add(-1)
    process.check()
    assert process.diagram(7) == "AAABBC."
    process.map(3, 5)
    assert process.diagram(7) == "AAAAAA."


def test_a_wrapped_sequence_can_only_lock_too_much(process: Pages) -> None:
    mm, vma = process.mm, process.vma(0)
    mm.mm_lock_seq = UINT_MAX - 1
    vma.vm_lock_seq = UINT_MAX  # a VMA that was never write-locked
    mmap_write_lock(mm)
    assert Worker(lambda: start_read(mm, vma)).join() is BUSY, "a false lock, harmless"
    mmap_write_unlock(mm)
    assert mm.mm_lock_seq == 0
    assert start_read(mm, vma) is LOCKED
    vma_end_read(vma)


def test_assertions_name_what_is_missing(process: Pages) -> None:
    vma = process.vma(0)
    with pytest.raises(AssertionError, match="must be held for write"):
        vma_start_write(vma)
    with pytest.raises(AssertionError, match="must be held"):
        vma_start_read_locked(vma)
    mmap_write_lock(process.mm)
    with pytest.raises(AssertionError, match="must be write-locked"):
        vma_mark_detached(vma)
    with pytest.raises(AssertionError, match="must be locked"):
        vma_assert_locked(vma)
    vma_start_write(vma)
    vma_assert_write_locked(vma)
    vma_assert_locked(vma)
    vma_assert_attached(vma)
    with pytest.raises(AssertionError, match="attached twice"):
        vma_mark_attached(vma)
    mmap_write_unlock(process.mm)
    with pytest.raises(AssertionError, match="freed while attached"):
        process.mm.vm_area_cachep.free(vma)
