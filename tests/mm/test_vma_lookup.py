"""The reader's walk from VMA to VMA while writers come between its steps: what each costs it.

X = [0,3) RW, N = [3,4) R and M = [-1,0) R are there at the start. A step of the reader is a call
of lock_next_vma(); what a writer does between lookup and lock runs when the iterator has returned
a VMA and the reader has not yet touched its lock. What the reader is shown in each of these
interleavings the checker's scripts say: see untorn.check.scenarios.scripts, a01 to a18.
"""

import errno
from collections.abc import Callable

import pytest

from tests.helpers.engine import Pages, addr, page_of
from tests.helpers.tasks import Worker, wait_until
from untorn.locking.rcu import rcu_read_lock, rcu_read_unlock
from untorn.mm.mm_types import VM_REFCNT_LIMIT, Vma, VmaSlab
from untorn.mm.mman import PROT_EXEC, PROT_NONE, PROT_READ
from untorn.mm.mmap_lock import mmap_write_lock, mmap_write_unlock
from untorn.mm.tree.vma_tree import Slot, VmaIterator, VmaTree
from untorn.mm.vma_lock import vma_end_read, vma_start_write
from untorn.mm.vma_lookup import LOOKUPS, WalkCounts, lock_next_vma, lock_vma_under_rcu


class Interrupted(VmaIterator[Vma]):
    """An iterator that once, after a lookup, lets another task run."""

    __slots__ = ("then",)
    then: Callable[[], object] | None

    def next(self) -> Vma | None:
        found: Vma | None = super().next()
        then, self.then = self.then, None
        if then is not None:
            Worker(then).join()  # another task, which runs to its end
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
        """Report the next VMA. Return whether there was one."""
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


def test_an_undisturbed_walk_reports_every_vma(reader: Reader) -> None:
    assert reader.rest() == [(-1, 0), (0, 3), (3, 4)]
    assert reader.counts == WalkCounts()


def reuse(process: Pages, first: int, end: int) -> None:
    """Unmap X, and map other pages so that they reuse its object."""
    x = process.vma(0)
    process.unmap(0, 3)
    process.map(first, end)
    assert process.vma(first) is x


COSTS: dict[str, tuple[Callable[[Pages], object], WalkCounts]] = {
    "unmapped": (lambda p: p.unmap(0, 3), WalkCounts(detached=1)),
    "reused at a higher address": (lambda p: reuse(p, 7, 8), WalkCounts(rechecks=1, fallbacks=1)),
    "reused below": (lambda p: reuse(p, -5, -4), WalkCounts(fallbacks=1)),
    "split": (lambda p: p.protect(1, 2, PROT_NONE), WalkCounts(rechecks=1, fallbacks=1)),
    "shrunk": (lambda p: p.protect(0, 1, PROT_NONE), WalkCounts(reseats=1)),
}


@pytest.mark.parametrize(("write", "counts"), COSTS.values(), ids=COSTS.keys())
def test_what_a_writer_between_lookup_and_lock_costs(
    process: Pages, reader: Reader, write: Callable[[Pages], object], counts: WalkCounts
) -> None:
    reader.step()
    reader.step(lambda: write(process))
    reader.rest()
    assert reader.counts == counts


def test_a_cut_between_two_splits_costs_one_reseat(process: Pages, reader: Reader) -> None:
    # After the first split the tree holds [0,1) and X = [1,3); the second cuts X to [1,2).
    process.protect(1, 3, PROT_NONE)
    reader.step()
    reader.step()
    reader.step(lambda: process.protect(1, 2, PROT_READ | PROT_EXEC))
    reader.rest()
    assert reader.counts == WalkCounts(reseats=1)


def test_a_vma_being_written_costs_a_fallback(process: Pages, reader: Reader) -> None:
    reader.step()
    mmap_write_lock(process.mm)
    vma_start_write(process.vma(0))
    step = Worker(reader.step)
    wait_until(lambda: process.mm.mmap_lock._queue, "the fallback")
    assert len(reader.seen) == 1
    mmap_write_unlock(process.mm)
    step.join()
    assert reader.counts.fallbacks == 1


def replace_x(process: Pages) -> None:
    """Unmap X and map another object in its place; X itself stays free."""
    process.unmap(0, 3)
    spare = process.mm.vm_area_cachep.alloc(process.mm)
    process.map(0, 3)
    process.mm.vm_area_cachep.free(spare)


def test_what_was_mapped_in_its_place_is_found(process: Pages, reader: Reader) -> None:
    reader.step()
    reader.step(lambda: replace_x(process))
    assert reader.seen == [(-1, 0), (0, 3)]
    assert reader.counts == WalkCounts(detached=1)


def test_a_writer_that_removes_every_vma_found_cannot_keep_a_reader_retrying(
    process: Pages, reader: Reader
) -> None:
    def replace_again() -> None:
        replace_x(process)
        reader.vmi.then = replace_again

    reader.step()
    reader.step(replace_again)
    assert reader.seen == [(-1, 0), (0, 3)]
    assert reader.counts == WalkCounts(detached=len(LOOKUPS), fallbacks=1)


def test_an_object_reused_by_another_mm_is_given_back(process: Pages, reader: Reader) -> None:
    other = Pages(process.mm.vm_area_cachep)
    x = process.vma(0)

    def move_to_other() -> None:
        process.unmap(0, 3)
        other.map(0, 3)

    reader.step()
    reader.step(move_to_other)
    assert other.vma(0) is x
    assert x.vm_refcnt.load() == 1


def test_a_border_that_moved_up_hides_no_page(process: Pages, reader: Reader) -> None:
    # M takes page 0 from X: M is shown again as [-1,1), which is permitted; page 0 is covered.
    reader.step()
    reader.step(lambda: process.protect(0, 1, PROT_READ))
    assert reader.rest() == [(-1, 0), (-1, 1), (1, 3), (3, 4)]
    assert (reader.counts.rechecks, reader.counts.fallbacks) == (1, 1)


def test_moving_the_iterator_prevents_the_false_gap(
    process: Pages, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A10 with an iterator that is not moved, as in Linux since 6.17.
    reader.step()
    monkeypatch.setattr(Interrupted, "set", lambda self, addr: None)
    reader.step(lambda: process.protect(0, 1, PROT_NONE))
    assert reader.rest() == [(-1, 0), (0, 1), (3, 4)], "pages 1 and 2 were mapped throughout"


def test_a_writer_elsewhere_costs_nothing_where_there_is_no_gap(
    process: Pages, reader: Reader
) -> None:
    mmap_write_lock(process.mm)
    assert Worker(reader.rest).join() == [(-1, 0), (0, 3), (3, 4)]
    mmap_write_unlock(process.mm)
    assert reader.counts == WalkCounts()


def test_a_gap_with_an_active_writer_is_looked_up_again(process: Pages, reader: Reader) -> None:
    process.unmap(0, 3)
    mmap_write_lock(process.mm)
    assert Worker(reader.rest).join() == [(-1, 0), (3, 4)]
    mmap_write_unlock(process.mm)
    assert reader.counts == WalkCounts(rechecks=1)


def test_too_many_readers_leave_only_mmap_lock(process: Pages, reader: Reader) -> None:
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
    wait_until(lambda: process.mm.mmap_lock._queue, "the fallback")
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
    """Call a function once, right after the next lookup in the tree."""
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
