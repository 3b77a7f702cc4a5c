"""Pools of huge pages: pages are reserved, taken and given back."""

import errno
import os
from collections.abc import Callable
from contextlib import closing

import pytest

from tests.helpers.tasks import Worker, ctrl_c_ends_waits
from untorn.engine import (
    MADV_DONTNEED,
    MADV_REMOVE,
    MAP_32BIT,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_HUGE_1GB,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_NORESERVE,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PAGE_IS_PRESENT,
    PAGE_SIZE,
    PMD_SIZE,
    PROT_READ,
    PROT_WRITE,
    PUD_SIZE,
    HugeInode,
    HugePool,
    MmStruct,
    NotModelledError,
    PmScanArg,
    Process,
    VmFile,
)
from untorn.mm.hugetlb import HugePage
from untorn.mm.mmap_lock import mmap_write_lock, mmap_write_unlock

RW = PROT_READ | PROT_WRITE
HUGE = MAP_ANONYMOUS | MAP_HUGETLB
PRIVATE, SHARED = HUGE | MAP_PRIVATE, HUGE | MAP_SHARED
BASE = 0x3000_0000_0000


class Machine:
    """A process and the pool of its huge pages."""

    def __init__(
        self, nr: int = 4, *, overcommit: int = 0, release: tuple[int, int] = (7, 3)
    ) -> None:
        self.pool = HugePool(nr=nr, overcommit=overcommit)
        pools = {PMD_SIZE: self.pool, PUD_SIZE: HugePool(PUD_SIZE)}
        self.process = Process(MmStruct(release=release, huge_pools=pools))

    def map(self, pages: int, flags: int = PRIVATE, addr: int = BASE) -> int:
        return self.process.mmap(addr, pages * PMD_SIZE, RW, flags | MAP_FIXED)

    @property
    def counts(self) -> tuple[int, int, int]:
        """The free, reserved and surplus pages."""
        return self.pool.free, self.pool.resv, self.pool.surplus


def refused(error: int, call: Callable[..., object], *arguments: int) -> None:
    with pytest.raises(OSError, match=os.strerror(error)):
        call(*arguments)


@pytest.mark.parametrize("kind", [PRIVATE, SHARED])
def test_pages_are_reserved_at_mmap_and_taken_by_the_first_access(kind: int) -> None:
    machine = Machine()
    machine.map(3, kind)
    assert machine.counts == (4, 3, 0)
    machine.process.touch(BASE + PMD_SIZE, write=False)
    assert machine.counts == (3, 2, 0)
    refused(errno.ENOMEM, machine.map, 3, kind, BASE + PUD_SIZE)
    machine.process.munmap(BASE, PUD_SIZE)
    assert machine.counts == (4, 0, 0)


def test_a_replaced_mapping_gives_its_pages_back_before_the_new_one_takes_them() -> None:
    machine = Machine()
    machine.map(4)
    machine.map(4)
    assert machine.counts == (4, 4, 0)


def test_an_access_without_a_reservation_fails_if_all_pages_are_reserved() -> None:
    machine = Machine()
    machine.map(1, PRIVATE | MAP_NORESERVE, BASE + PUD_SIZE)
    machine.map(4)
    refused(errno.EFAULT, lambda: machine.process.touch(BASE + PUD_SIZE, write=True))
    machine.process.touch(BASE, write=True)
    assert machine.counts == (3, 3, 0)


def test_an_old_length_that_wraps_is_zero() -> None:
    machine = Machine()
    machine.map(1)
    flags = MREMAP_MAYMOVE | MREMAP_FIXED
    refused(errno.EINVAL, machine.process.mremap, BASE, -PAGE_SIZE % 2**64, 1, flags, 2 * BASE)
    assert machine.counts == (4, 1, 0)


def test_surplus_pages_come_as_needed_and_leave_when_they_are_freed() -> None:
    machine = Machine(1, overcommit=2)
    machine.map(3)
    assert machine.counts == (3, 3, 2)
    refused(errno.ENOMEM, machine.map, 1, PRIVATE, BASE + PUD_SIZE)
    machine.process.touch(BASE, write=True)
    machine.process.munmap(BASE, PUD_SIZE)
    assert machine.counts == (1, 0, 0)


def test_a_childs_copies_are_not_reserved() -> None:
    machine = Machine(2)
    machine.map(1)
    machine.process.touch(BASE, write=True)
    child = machine.process.fork()
    child.touch(BASE, write=False)
    assert machine.counts == (1, 0, 0)
    child.touch(BASE, write=True)
    assert machine.counts == (0, 0, 0)
    child.exit()
    assert machine.counts == (1, 0, 0)


def test_that_a_page_is_taken_from_a_child_is_refused_by_name() -> None:
    machine = Machine(1)
    machine.map(1)
    machine.process.touch(BASE, write=True)
    child = machine.process.fork()
    with pytest.raises(NotModelledError, match="child processes"):
        machine.process.touch(BASE, write=True)
    refused(errno.EFAULT, lambda: child.touch(BASE, write=True))


@pytest.mark.parametrize(("release", "reserved"), [((6, 1), 1), ((6, 12), 2)])
def test_a_page_that_goes_is_reserved_again_since_6_9(
    release: tuple[int, int], reserved: int
) -> None:
    machine = Machine(release=release)
    machine.map(2)
    machine.process.touch(BASE, write=True)
    machine.process.madvise(BASE, PMD_SIZE, MADV_DONTNEED)
    assert machine.counts == (4, reserved, 0)


def test_a_hole_in_shared_memory_takes_pages_from_all_and_their_reservations() -> None:
    machine = Machine()
    machine.map(2, SHARED)
    machine.process.touch(BASE, write=True)
    child = machine.process.fork()
    child.touch(BASE, write=True)
    assert machine.counts == (3, 1, 0)
    child.madvise(BASE, PMD_SIZE, MADV_REMOVE)
    assert not machine.process.mm.page_table.huge
    assert machine.counts == (4, 1, 0)
    child.exit()
    machine.process.exit()
    assert machine.counts == (4, 0, 0)


class Forks:
    """The first page table of an inode. It forks when the inode has lost pages that others map."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.child: Process | None = None

    def unmap_huge_pages(self, inode: HugeInode, gone: set[HugePage]) -> None:
        self.child = Worker(self._process.fork).join()  # in another task, which holds no locks


def test_a_fork_while_a_hole_is_punched_does_not_copy_what_goes() -> None:
    machine = Machine()
    inode = HugeInode(machine.pool, users=1)
    other = Process(MmStruct(huge_pools=machine.process.mm.huge_pools))
    forks = Forks(other)
    inode.tables[forks] = None
    second = BASE + PMD_SIZE
    for process, kind in ((machine.process, MAP_SHARED), (other, MAP_PRIVATE)):
        process.files[3] = VmFile(b"/huge/file", size=2 * PMD_SIZE, huge=inode)
        process.mmap(BASE, 2 * PMD_SIZE, RW, kind | MAP_FIXED, 3, 0)
        process.touch(BASE, write=kind == MAP_SHARED)
    other.touch(second, write=True)  # so that fork copies its pages
    assert set(other.mm.page_table.huge) == {BASE, second}
    machine.process.madvise(BASE, PMD_SIZE, MADV_REMOVE)
    assert forks.child is not None
    for process in (other, forks.child):
        assert set(process.mm.page_table.huge) == {second}
        process.exit()
    machine.process.exit()
    inode.release()
    assert machine.counts == (4, 0, 0)


def test_ftruncate_of_huge_pages_is_refused_by_name() -> None:
    machine = Machine()
    machine.process.files[3] = VmFile(b"/huge/file", huge=HugeInode(machine.pool, users=1))
    with pytest.raises(NotModelledError, match="ftruncate of a file on hugetlbfs"):
        machine.process.ftruncate(3, 0)


def test_ctrl_c_in_the_wait_for_a_neighbour_leaves_pages_and_reservation_as_they_were() -> None:
    machine = Machine()
    small = MAP_ANONYMOUS | MAP_PRIVATE | MAP_FIXED
    machine.process.mmap(BASE - PAGE_SIZE, PAGE_SIZE, RW, small)
    machine.map(2)
    machine.process.touch(BASE, write=True)
    prev = machine.process.mm.find_vma(BASE - PAGE_SIZE)
    assert prev is not None
    prev.vm_refcnt.add(1)  # a reader
    with ctrl_c_ends_waits(), pytest.raises(KeyboardInterrupt):
        machine.process.mmap(BASE, 2 * PMD_SIZE, RW, small)
    assert machine.counts == (3, 1, 0)
    prev.vm_refcnt.add(-1)
    machine.process.mmap(BASE, 2 * PMD_SIZE, RW, small)
    assert machine.counts == (4, 0, 0)


def test_a_move_takes_pages_and_reservation_along_but_a_part_leaves_the_rest_without() -> None:
    machine = Machine()
    machine.map(3)
    machine.process.touch(BASE, write=True)
    flags, to = MREMAP_MAYMOVE | MREMAP_FIXED, BASE + PUD_SIZE
    machine.process.mremap(BASE, 3 * PMD_SIZE, 3 * PMD_SIZE, flags, to)
    machine.process.touch(to, write=True)
    assert machine.counts == (3, 2, 0)
    machine.process.mremap(to, PMD_SIZE, PMD_SIZE, flags, BASE)
    machine.process.exit()
    assert machine.counts == (4, 2, 0)  # they stay reserved for ever, as in Linux


def test_populated_and_locked_pages_are_there_at_once_and_not_counted_as_locked() -> None:
    machine = Machine()
    machine.map(2, PRIVATE | MAP_POPULATE)
    machine.map(1, PRIVATE | MAP_LOCKED, BASE + PUD_SIZE)
    assert machine.counts == (1, 0, 0)
    assert machine.process.mm.locked_vm == 0


def test_lengths_are_rounded_up_and_addresses_are_aligned() -> None:
    process = Machine().process
    addr = process.mmap(0, 1, RW, PRIVATE)
    assert addr % PMD_SIZE == 0
    with process.open() as maps:
        assert maps.query(addr).entry.end == addr + PMD_SIZE
    refused(errno.EINVAL, process.mmap, BASE + 4096, PMD_SIZE, RW, PRIVATE | MAP_FIXED)
    refused(errno.EINVAL, process.mmap, 0, PMD_SIZE, RW, PRIVATE, -1, 4096)
    refused(errno.ENOMEM, process.mmap, 0, 1, RW, PRIVATE | MAP_HUGE_1GB)
    refused(errno.EINVAL, process.mmap, 0, 1, RW, PRIVATE | 20 << 26)


@pytest.mark.parametrize(("release", "up"), [((6, 12), False), ((6, 16), True)])
def test_since_6_13_a_hint_is_rounded_up_and_map_32bit_counts(
    release: tuple[int, int], up: bool
) -> None:
    process = Machine(release=release).process
    assert process.mmap(BASE + 4096, PMD_SIZE, RW, PRIVATE) == BASE + up * PMD_SIZE
    assert (process.mmap(0, PMD_SIZE, RW, PRIVATE | MAP_32BIT) < 1 << 31) == up


def test_pages_lie_inside_of_vmas() -> None:
    machine = Machine()
    machine.map(2, PRIVATE | MAP_POPULATE)
    machine.process.munmap(BASE, PMD_SIZE)
    mm = machine.process.mm
    mmap_write_lock(mm)
    mm.check_invariants()
    mmap_write_unlock(mm)
    assert list(mm.page_table.huge) == [BASE + PMD_SIZE]


def test_pagemap_refuses_huge_pages_by_name_and_only_where_some_are() -> None:
    machine = Machine()
    machine.map(2)
    machine.process.touch(BASE + PMD_SIZE, write=True)
    asked = PmScanArg(BASE, BASE + PMD_SIZE, PAGE_IS_PRESENT, vec_len=1)
    inside = BASE + PMD_SIZE + 5 * PAGE_SIZE
    with closing(machine.process.open_pagemap()) as pagemap:
        assert pagemap.scan(asked).regions == []
        assert pagemap.read_at(BASE // PAGE_SIZE * 8, 8) == bytes(8)
        with pytest.raises(NotModelledError, match=r"PAGEMAP_SCAN: .* has huge pages"):
            pagemap.scan(asked._replace(end=BASE + 2 * PMD_SIZE))
        with pytest.raises(NotModelledError, match=f"pagemap: {inside:x}-.* has huge pages"):
            pagemap.read_at(inside // PAGE_SIZE * 8, 8)


def test_mincore_reports_mapped_huge_pages_for_each_small_page() -> None:
    machine = Machine()
    machine.map(2)
    machine.process.touch(BASE, write=True)
    vec = machine.process.mmap(0, 4096, RW, MAP_PRIVATE | MAP_ANONYMOUS)
    found = machine.process.mincore(BASE + PMD_SIZE - 8192, 4 * 4096, vec)
    assert found == [True, True, False, False]
