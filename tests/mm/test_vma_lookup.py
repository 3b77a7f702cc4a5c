"""Scripted interleavings of the reader of maps with writers: no luck, no threads.

X = [0,3) RW, N = [3,4) R and M = [-1,0) R are there at the start, as in PROTOCOL's appendix.
A step of the reader is a call of lock_next_vma(); what a writer does "between lookup and lock"
runs when the iterator has returned a VMA and the reader has not yet touched its lock.
"""

import errno
from collections.abc import Callable

import pytest

from tests.helpers.engine import RW, Pages, addr, page_of
from tests.helpers.tasks import Worker, await_
from untorn.locking.rcu import rcu_read_lock, rcu_read_unlock
from untorn.mm.mm_types import VM_REFCNT_LIMIT, Vma, VmaSlab
from untorn.mm.mman import PROT_EXEC, PROT_NONE, PROT_READ
from untorn.mm.mmap_lock import mmap_write_lock, mmap_write_unlock
from untorn.mm.tree.vma_tree import Slot, VmaIterator, VmaTree
from untorn.mm.vma_lock import vma_end_read, vma_start_write
from untorn.mm.vma_lookup import LOOKUPS, WalkCounts, lock_next_vma, lock_vma_under_rcu


class Interrupted(VmaIterator[Vma]):
    """An iterator after which, once, somebody else gets the CPU."""

    __slots__ = ("then",)
    then: Callable[[], object] | None

    def next(self) -> Vma | None:
        found: Vma | None = super().next()
        then, self.then = self.then, None
        if then is not None:
            Worker(then).join()  # a task of its own, run to its end
        return found


class Reader:
    """A walk over an engine process, one VMA at a time."""

    def __init__(self, process: Pages) -> None:
        self.mm = process.mm
        self.vmi = Interrupted(process.mm.mm_mt)
        self.vmi.then = None
        self.counts = WalkCounts()
        self.at = addr(-1)
        self.seen: list[tuple[int, int]] = []

    def step(self, between_lookup_and_lock: Callable[[], object] | None = None) -> bool:
        """Report the next VMA; return whether there was one."""
        self.vmi.then = between_lookup_and_lock
        rcu_read_lock()
        try:
            vma = lock_next_vma(self.mm, self.vmi, self.at, self.counts)
        finally:
            rcu_read_unlock()
        if vma is None:
            return False
        self.seen.append((page_of(vma.vm_start), page_of(vma.vm_end)))
        self.at = vma.vm_end
        vma_end_read(vma)
        return True

    def rest(self) -> list[tuple[int, int]]:
        while self.step():
            pass
        return self.seen


@pytest.fixture
def process() -> Pages:
    process = Pages(VmaSlab())
    process.map(-1, 0, PROT_READ)
    process.map(0, 3)
    process.map(3, 4, PROT_READ)
    return process


@pytest.fixture
def reader(process: Pages) -> Reader:
    return Reader(process)


def split(process: Pages) -> Callable[[], None]:
    return lambda: process.protect(1, 2, PROT_NONE)


def test_an_undisturbed_walk_reports_every_vma(reader: Reader) -> None:
    assert reader.rest() == [(-1, 0), (0, 3), (3, 4)]
    assert reader.counts == WalkCounts()


def test_a1_a_split_before_the_lookup_is_seen_whole(process: Pages, reader: Reader) -> None:
    reader.step()
    process.protect(1, 2, PROT_NONE)
    assert reader.rest() == [(-1, 0), (0, 1), (1, 2), (2, 3), (3, 4)]


def test_a2_a_merge_behind_the_reader_gives_the_permitted_duplicate(
    process: Pages, reader: Reader
) -> None:
    process.protect(1, 2, PROT_NONE)
    reader.step()
    reader.step()
    process.protect(1, 2, RW)
    assert reader.rest() == [(-1, 0), (0, 1), (0, 3), (3, 4)]


def test_a3_a_vma_being_written_sends_the_reader_behind_the_writer(
    process: Pages, reader: Reader
) -> None:
    reader.step()
    mmap_write_lock(process.mm)
    vma_start_write(process.vma(0))
    step = Worker(reader.step)
    await_(lambda: process.mm.mmap_lock._queue, "the fallback")
    assert len(reader.seen) == 1
    mmap_write_unlock(process.mm)
    step.join()
    assert reader.seen[-1] == (0, 3)
    assert reader.counts.fallbacks == 1


def test_a5_a_vma_unmapped_between_lookup_and_lock_is_a_real_gap(
    process: Pages, reader: Reader
) -> None:
    reader.step()
    reader.step(lambda: process.unmap(0, 3))
    assert reader.seen == [(-1, 0), (3, 4)]
    assert reader.counts.detached == 1


def replace_x(process: Pages) -> None:
    """Unmap X and map another object in its place; X itself stays free."""
    process.unmap(0, 3)
    spare = process.mm.vm_area_cachep.alloc(process.mm)
    process.map(0, 3)
    process.mm.vm_area_cachep.free(spare)


def test_a5_what_was_mapped_in_its_place_is_found(process: Pages, reader: Reader) -> None:
    reader.step()
    reader.step(lambda: replace_x(process))
    assert reader.seen == [(-1, 0), (0, 3)]
    assert reader.counts == WalkCounts(detached=1)


def test_a_writer_who_removes_whatever_is_found_cannot_keep_a_reader_looking(
    process: Pages, reader: Reader
) -> None:
    def replace_again() -> None:
        replace_x(process)
        reader.vmi.then = replace_again

    reader.step()
    reader.step(replace_again)
    assert reader.seen == [(-1, 0), (0, 3)]
    assert reader.counts == WalkCounts(detached=len(LOOKUPS), fallbacks=1)


def test_a6_an_object_reused_further_on_is_not_taken_for_the_next_vma(
    process: Pages, reader: Reader
) -> None:
    x = process.vma(0)

    def reuse() -> None:
        process.unmap(0, 3)
        process.map(7, 8)

    reader.step()
    reader.step(reuse)
    assert process.vma(7) is x
    assert reader.rest() == [(-1, 0), (3, 4), (7, 8)]
    assert (reader.counts.rechecks, reader.counts.fallbacks) == (1, 1)


def test_a7_an_object_reused_behind_the_reader_is_refused(process: Pages, reader: Reader) -> None:
    x = process.vma(0)

    def reuse() -> None:
        process.unmap(0, 3)
        process.map(-5, -4)

    reader.step()
    reader.step(reuse)
    assert process.vma(-5) is x
    assert reader.rest() == [(-1, 0), (3, 4)]
    assert (reader.counts.rechecks, reader.counts.fallbacks) == (0, 1)


def test_a8_an_object_reused_by_another_mm_is_given_back(process: Pages, reader: Reader) -> None:
    other = Pages(process.mm.vm_area_cachep)
    x = process.vma(0)

    def reuse() -> None:
        process.unmap(0, 3)
        other.map(0, 3)

    reader.step()
    reader.step(reuse)
    assert other.vma(0) is x
    assert x.vm_refcnt.load() == 1
    assert reader.rest() == [(-1, 0), (3, 4)]


def test_a9_a_split_below_does_not_hide_the_part_that_moved_to_a_new_vma(
    process: Pages, reader: Reader
) -> None:
    # X becomes [1,2), and [0,1) a VMA of its own: X starts above where the reader stands.
    reader.step()
    reader.step(split(process))
    assert reader.rest() == [(-1, 0), (0, 1), (1, 2), (2, 3), (3, 4)]
    assert (reader.counts.rechecks, reader.counts.fallbacks) == (1, 1)


def test_a9_nor_does_a_border_that_moved_up(process: Pages, reader: Reader) -> None:
    # M takes page 0 from X: M is shown again as [-1,1), which is permitted; page 0 is covered.
    reader.step()
    reader.step(lambda: process.protect(0, 1, PROT_READ))
    assert reader.rest() == [(-1, 0), (-1, 1), (1, 3), (3, 4)]
    assert (reader.counts.rechecks, reader.counts.fallbacks) == (1, 1)


def shrink(process: Pages) -> Callable[[], None]:
    """Cut X to [0,1); [1,3) becomes a new VMA."""
    return lambda: process.protect(0, 1, PROT_NONE)


def test_a10_no_false_gap_when_a_vma_shrank_between_lookup_and_lock(
    process: Pages, reader: Reader
) -> None:
    # 1. The lookup returns X = [0,3); the iterator stands at 3. 2. The reader is delayed.
    # 3. A writer cuts X to [0,1) and stores a new [1,3). 4. The reader locks X, reports [0,1).
    # 5. The next call samples the new sequence, so only the re-seated iterator finds [1,3).
    reader.step()
    reader.step(shrink(process))
    assert reader.rest() == [(-1, 0), (0, 1), (1, 3), (3, 4)]
    assert reader.counts == WalkCounts(reseats=1)


def test_a11_nor_when_the_writer_is_caught_between_its_two_splits(
    process: Pages, reader: Reader
) -> None:
    # After the first split the tree holds [0,1) and X = [1,3); the second cuts X to [1,2).
    process.protect(1, 3, PROT_NONE)
    reader.step()
    reader.step()
    reader.step(lambda: process.protect(1, 2, PROT_READ | PROT_EXEC))
    assert reader.rest() == [(-1, 0), (0, 1), (1, 2), (2, 3), (3, 4)]
    assert reader.counts == WalkCounts(reseats=1)


def test_a12_nor_at_the_end_of_the_map(process: Pages, reader: Reader) -> None:
    process.unmap(3, 4)
    reader.step()
    reader.step(shrink(process))
    assert reader.rest() == [(-1, 0), (0, 1), (1, 3)]


def test_the_re_seating_is_what_closes_the_false_gap(
    process: Pages, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A10 with an iterator that cannot be moved, as Linux since 6.17 leaves it.
    reader.step()
    monkeypatch.setattr(Interrupted, "set", lambda self, addr: None)
    reader.step(shrink(process))
    assert reader.rest() == [(-1, 0), (0, 1), (3, 4)], "pages 1 and 2 were mapped throughout"


def test_a13_a_writer_elsewhere_costs_nothing_where_there_is_no_gap(
    process: Pages, reader: Reader
) -> None:
    mmap_write_lock(process.mm)
    assert Worker(reader.rest).join() == [(-1, 0), (0, 3), (3, 4)]
    mmap_write_unlock(process.mm)
    assert reader.counts == WalkCounts()


def test_a_gap_with_a_writer_at_work_is_looked_at_again(process: Pages, reader: Reader) -> None:
    process.unmap(0, 3)
    mmap_write_lock(process.mm)
    assert Worker(reader.rest).join() == [(-1, 0), (3, 4)]
    mmap_write_unlock(process.mm)
    assert reader.counts == WalkCounts(rechecks=1)


def test_a16_too_many_readers_leave_only_mmap_lock(process: Pages, reader: Reader) -> None:
    reader.step()
    process.vma(0).vm_refcnt.store(VM_REFCNT_LIMIT)
    with pytest.raises(BlockingIOError) as caught:
        reader.step()
    assert caught.value.errno == errno.EAGAIN
    process.vma(0).vm_refcnt.store(1)


def test_a_reader_killed_in_the_fallback_gets_eintr_and_holds_nothing(
    process: Pages, reader: Reader
) -> None:
    mmap_write_lock(process.mm)
    vma_start_write(process.vma(-1))
    step = Worker(reader.step)
    await_(lambda: process.mm.mmap_lock._queue, "the fallback")
    step.task.kill()
    with pytest.raises(InterruptedError):
        step.join()
    mmap_write_unlock(process.mm)
    assert process.vma(-1).vm_refcnt.load() == 1


@pytest.mark.parametrize(("page", "found"), [(-2, None), (0, 0), (2, 0), (4, None)])
def test_lock_vma_under_rcu_returns_the_vma_at_the_address_only(
    process: Pages, page: int, found: int | None
) -> None:
    vma = lock_vma_under_rcu(process.mm, addr(page))
    assert (None if vma is None else page_of(vma.vm_start)) == found
    if vma is not None:
        vma_end_read(vma)


def test_lock_vma_under_rcu_gives_up_on_a_vma_being_written(process: Pages) -> None:
    mmap_write_lock(process.mm)
    vma_start_write(process.vma(0))
    assert lock_vma_under_rcu(process.mm, addr(0)) is None
    mmap_write_unlock(process.mm)


def find_and_then(
    process: Pages, monkeypatch: pytest.MonkeyPatch, then: Callable[[], object]
) -> None:
    """Let the next lookup in the tree be followed by something else, once."""
    tree = type(process.mm.mm_mt)
    find = tree.find_slot

    def find_then(self: VmaTree[Vma], address: int) -> Slot[Vma] | None:
        found = find(self, address)
        monkeypatch.setattr(tree, "find_slot", find)
        Worker(then).join()
        return found

    monkeypatch.setattr(tree, "find_slot", find_then)


def test_lock_vma_under_rcu_looks_again_if_the_vma_was_removed(
    process: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = process.vma(0)
    find_and_then(process, monkeypatch, lambda: replace_x(process))
    vma = lock_vma_under_rcu(process.mm, addr(0))
    assert vma is not None
    assert vma is not x
    vma_end_read(vma)


def test_lock_vma_under_rcu_gives_up_if_whatever_it_finds_is_removed(
    process: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace_again() -> None:
        find_and_then(process, monkeypatch, replace_again)
        replace_x(process)

    find_and_then(process, monkeypatch, replace_again)
    assert lock_vma_under_rcu(process.mm, addr(0)) is None


def test_lock_vma_under_rcu_refuses_a_vma_that_moved_away(
    process: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_and_then(process, monkeypatch, lambda: process.unmap(0, 1))
    assert lock_vma_under_rcu(process.mm, addr(0)) is None
    assert process.vma(1).vm_refcnt.load() == 1
