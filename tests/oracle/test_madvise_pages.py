"""What advice does to pages: guards, holes in files, huge pages. True of engine and kernel."""

import errno

import pytest

from tests.oracle.kernel_process import KernelProcess
from tests.oracle.smaps_pair import Opens, Pair
from tests.oracle.worlds import ANONYMOUS, RW, World, answer
from untorn.maps.page import PAGE_SIZE, PMD_SIZE
from untorn.mm.mman import (
    MADV_COLLAPSE,
    MADV_DONTNEED,
    MADV_GUARD_INSTALL,
    MADV_GUARD_REMOVE,
    MADV_POPULATE_READ,
    MADV_POPULATE_WRITE,
    MADV_REMOVE,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
)

P = PAGE_SIZE


def test_no_access_to_a_guard_until_it_is_taken_away(world: World) -> None:
    world.put(0, 4)
    world.touch(world.page(1))
    before = world.maps()
    world.madvise(world.page(1), 2 * P, MADV_GUARD_INSTALL)
    assert world.maps() == before, "maps does not show guards"
    for page, error in (0, 0), (1, errno.EFAULT), (2, errno.EFAULT), (3, 0):
        for write in (False, True):
            assert answer(world.touch, world.page(page), write=write) == error
    world.madvise(world.page(0), 4 * P, MADV_DONTNEED)
    assert answer(world.touch, world.page(1), write=True) == errno.EFAULT, "guards stay"
    for advice in MADV_POPULATE_READ, MADV_POPULATE_WRITE:
        assert answer(world.madvise, world.page(0), 4 * P, advice) == errno.EFAULT
    world.madvise(world.page(1), P, MADV_GUARD_REMOVE)
    assert answer(world.touch, world.page(1), write=True) == 0
    assert answer(world.touch, world.page(2), write=True) == errno.EFAULT


def test_a_guard_moves_with_its_page_and_goes_with_its_mapping(world: World) -> None:
    world.put(0, 3)
    world.madvise(world.page(1), P, MADV_GUARD_INSTALL)
    world.mremap(world.page(0), 3 * P, 3 * P, MREMAP_FIXED | MREMAP_MAYMOVE, world.page(8))
    assert answer(world.touch, world.page(9), write=False) == errno.EFAULT
    world.put(8, 3)
    world.put(0, 3)
    for page in (1, 9):
        assert answer(world.touch, world.page(page), write=False) == 0


def test_what_has_a_guard_cannot_be_brought_in_to_be_locked(world: World) -> None:
    world.put(0, 3)
    world.madvise(world.page(1), P, MADV_GUARD_INSTALL)
    assert answer(world.mlock2, world.page(0), 3 * P) == errno.ENOMEM
    assert answer(world.madvise, world.page(0), P, MADV_GUARD_INSTALL) == errno.EINVAL
    assert answer(world.madvise, world.page(0), 3 * P, MADV_GUARD_REMOVE) == 0


@pytest.mark.live
def test_a_hole_is_punched_for_all_who_map_the_file(
    pinned_child: KernelProcess, memory_files: Opens
) -> None:
    # The file's pages 0 to 5 are mapped shared at 0 and at 8, and privately at 16, where 2 and 3
    # were written: those are the process's own by then.
    with Pair(pinned_child, memory_files) as pair:
        for world, fds in pair.worlds:
            for first, flags in (0, MAP_SHARED), (8, MAP_SHARED), (16, MAP_PRIVATE):
                world.mmap(world.page(first), 6 * P, RW, flags | MAP_FIXED, fds[0])
                world.madvise(world.page(first), 6 * P, MADV_POPULATE_READ)
            world.madvise(world.page(18), 2 * P, MADV_POPULATE_WRITE)
            world.madvise(world.page(9), 3 * P, MADV_REMOVE)
        engine, kernel = pair.smaps()
        assert engine == kernel
        for world, _ in pair.worlds:
            world.touch(world.page(2), write=False)
            world.touch(world.page(16), write=False)
        engine, kernel = pair.smaps()
        assert engine == kernel


def test_collapse_of_less_than_a_huge_page(world: World) -> None:
    # A range from one border of huge pages on that ends before the next holds none: nothing to do.
    first = -(world.base >> 12) % 512
    addr = world.page(first)
    assert answer(world.madvise, world.put(first, 512), P, MADV_COLLAPSE) == errno.EINVAL, "new"
    world.touch(addr)
    assert answer(world.madvise, addr, P, MADV_COLLAPSE) == 0
    assert answer(world.madvise, addr + P, P, MADV_COLLAPSE) == errno.EINVAL
    world.munmap(addr, P)
    assert answer(world.madvise, addr + PMD_SIZE - P, P, MADV_COLLAPSE) == errno.EINVAL, "too small"
    world.munmap(addr, PMD_SIZE)


def test_there_are_no_huge_pages_for_the_engine_to_collapse_into(engine: World) -> None:
    addr = engine.mmap(0, 4 * PMD_SIZE, flags=ANONYMOUS)
    engine.touch(addr)
    assert answer(engine.madvise, addr, 2 * PMD_SIZE, MADV_COLLAPSE) == errno.ENOMEM
    assert answer(engine.madvise, addr + PMD_SIZE, PMD_SIZE, MADV_COLLAPSE) == errno.EINVAL
