"""The address space of a child, and how its parent's pages affect later merges."""

import pytest

from tests.helpers.engine import FIXED, RW, Pages, addr, shown, text_of
from tests.helpers.tasks import Worker, wait_until
from untorn.maps.page import PAGE_SIZE
from untorn.mm.calls.exit import mmput
from untorn.mm.mman import (
    MADV_DONTFORK,
    MADV_WIPEONFORK,
    MAP_ANONYMOUS,
    MAP_SHARED,
    MCL_FUTURE,
    PROT_READ,
    VM_LOCKED,
)
from untorn.mm.mmap_lock import mmap_read_lock, mmap_read_unlock
from untorn.mm.vma_lock import vma_end_read
from untorn.mm.vma_lookup import lock_vma_under_rcu
from untorn.syscalls import Process


@pytest.fixture
def parent() -> Pages:
    parent = Pages()
    parent.map(0, 3)
    parent.map(5, 6, PROT_READ)
    return parent


def ranges(process: Process) -> list[tuple[int, int]]:
    mmap_read_lock(process.mm)
    process.mm.check_invariants()
    mmap_read_unlock(process.mm)
    return shown(text_of(process))


def fixed(process: Process, page: int, prot: int = RW) -> None:
    process.mmap(addr(page), PAGE_SIZE, prot, FIXED)


def test_a_child_has_what_its_parent_had(parent: Pages) -> None:
    parent.mm.start_brk, parent.mm.brk, parent.mm.start_stack = 1, 2, 3
    parent.mm.data_size = 4
    child = parent.fork()
    assert text_of(child) == text_of(parent)
    assert (child.mm.start_brk, child.mm.brk, child.mm.start_stack) == (1, 2, 3)
    assert child.mm.data_size == 4, "RLIMIT_DATA counts it together with the heap"
    assert child.mm.mm_lock_seq == 2, "a sequence of its own, after its first write section"


def test_parent_and_child_do_not_see_each_others_later_changes(parent: Pages) -> None:
    child = parent.fork()
    child.munmap(addr(1), PAGE_SIZE)
    fixed(parent, 8)
    assert ranges(child) == [(0, 1), (2, 3), (5, 6)]
    assert ranges(parent) == [(0, 3), (5, 6), (8, 9)]


def test_a_vma_with_dontcopy_is_left_out(parent: Pages) -> None:
    parent.madvise(addr(1), PAGE_SIZE, MADV_DONTFORK)
    assert ranges(parent.fork()) == [(0, 1), (2, 3), (5, 6)]


def test_nothing_is_locked_in_the_child(parent: Pages) -> None:
    parent.mlock2(addr(0), PAGE_SIZE)
    parent.mlockall(MCL_FUTURE)
    child = parent.fork()
    assert child.mm.locked_vm == child.mm.def_flags & VM_LOCKED == 0
    assert ranges(child) == [(0, 1), (1, 3), (5, 6)], "parts stay separate until something changes"


# 01234
# AAA*    map page 3 right after A, in parent and child: A was written before the fork, or not


@pytest.mark.parametrize(("written", "in_child"), [(True, [(0, 3), (3, 4)]), (False, [(0, 4)])])
def test_a_childs_vma_with_its_parents_pages_does_not_merge(
    written: bool, in_child: list[tuple[int, int]]
) -> None:
    parent = Pages()
    parent.map(0, 3)
    if written:
        parent.touch(addr(0), write=True)
    child = parent.fork()
    fixed(parent, 3)
    fixed(child, 3)
    assert ranges(parent) == [(0, 4)]
    assert ranges(child) == in_child


def test_a_wiped_vma_merges_like_new(parent: Pages) -> None:
    parent.touch(addr(0), write=True)
    parent.madvise(addr(0), 3 * PAGE_SIZE, MADV_WIPEONFORK)
    child = parent.fork()
    fixed(child, 3)
    child.madvise(addr(3), PAGE_SIZE, MADV_WIPEONFORK)
    assert ranges(child) == [(0, 4), (5, 6)]


def test_a_chain_takes_over_the_anon_vma_of_an_ancestor_that_let_go(parent: Pages) -> None:
    # Every generation adds a link, unless there is an ancestor's anon_vma with at most one child
    # that is no longer in use.
    parent.touch(addr(0), write=True)
    child = parent.fork()
    grandchild = child.fork()
    vmas = [process.vma(0) for process in (parent, child, grandchild)]
    assert [len(vma.anon_vma_chain) for vma in vmas] == [1, 2, 3]
    left = vmas[1].anon_vma
    child.munmap(addr(0), 3 * PAGE_SIZE)
    great = grandchild.fork().vma(0)
    assert great.anon_vma is left
    assert great.anon_vma_chain == vmas[2].anon_vma_chain


def test_shared_memory_stays_one_file(parent: Pages) -> None:
    parent.map(8, 10, RW, FIXED & ~2 | MAP_SHARED | MAP_ANONYMOUS)
    child = parent.fork()
    assert child.vma(8).vm_file is parent.vma(8).vm_file


def test_fork_waits_for_the_reader_of_a_vma(parent: Pages) -> None:
    vma = lock_vma_under_rcu(parent.mm, addr(5))
    assert vma is not None
    fork = Worker(parent.fork)
    wait_until(lambda: vma.vm_refcnt.load() > 1 << 29, "the writer's flag")
    assert not fork.done
    vma_end_read(vma)
    assert ranges(fork.join()) == [(0, 3), (5, 6)]


@pytest.mark.parametrize(("release", "waits"), [((6, 18), True), ((6, 19), False)])
def test_whether_a_kill_ends_the_wait_for_the_reader_of_a_vma(
    release: tuple[int, int], waits: bool
) -> None:
    parent = Pages(release=release)
    parent.map(0, 1)
    vma = lock_vma_under_rcu(parent.mm, addr(0))
    assert vma is not None
    fork = Worker(parent.fork)
    wait_until(lambda: vma.vm_refcnt.load() > 1 << 29, "the writer's flag")
    fork.task.kill()
    if waits:
        vma_end_read(vma)
    with pytest.raises(InterruptedError):
        fork.join()
    if not waits:
        vma_end_read(vma)
    assert ranges(parent) == [(0, 1)]
    assert ranges(parent.fork()) == [(0, 1)]


def test_the_child_outlives_its_parent(parent: Pages) -> None:
    parent.touch(addr(0), write=True)
    child = parent.fork()
    mmput(parent.mm)
    assert ranges(child) == [(0, 3), (5, 6)]
