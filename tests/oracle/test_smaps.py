"""The same calls give the same smaps in the engine and in the running kernel.

Left out are fields that the engine does not model.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.smaps_records import records
from tests.oracle.kernel_process import KernelProcess
from tests.oracle.scripts import IN_MEMORY, ON_A_DISK, Call, smaps_scripts
from tests.oracle.smaps_pair import FIRST_PAGES, Opens, Pair, comparable
from tests.oracle.worlds import ANONYMOUS, RW, EngineWorld, World, engine_limits
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mman import (
    MADV_DONTNEED,
    MADV_FREE,
    MADV_GUARD_INSTALL,
    MADV_PAGEOUT,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PROT_READ,
)

pytestmark = pytest.mark.live

P = PAGE_SIZE


def test_smaps_of_parent_and_child_are_the_same_through_copies_and_exit(
    pinned_child: KernelProcess, disk_files: Opens
) -> None:
    child = pinned_child
    with Pair(child, disk_files) as pair:
        for world, fds in pair.worlds:
            build_family(world, fds)
        engine_child, pid = pair.engine.process.fork(), child.call("fork")
        family = EngineWorld(engine_limits(), pair.engine.base)
        family.process = engine_child

        def compare() -> None:
            engine, kernel = pair.smaps()
            assert engine == kernel
            theirs = [r for r in records(child.smaps(pid)) if pair.kernel.holds(r.line)]
            assert comparable(family.smaps()) == comparable(theirs)

        compare()
        for world, _ in pair.worlds:
            world.touch(world.page(0))
            world.touch(world.page(9), write=False)
            world.madvise(world.page(1), P, MADV_DONTNEED)
            world.madvise(world.page(2), P, MADV_FREE)
            world.mremap(world.page(12), P, P, MREMAP_FIXED | MREMAP_MAYMOVE, world.page(15))
        compare()
        engine_child.exit()
        child.call("end", pid)
        for world, _ in pair.worlds:
            world.touch(world.page(2))
        engine, kernel = pair.smaps()
        assert engine == kernel


def build_family(world: World, fds: list[int]) -> None:
    """Map memory and a file in ways of which a child gets its share."""
    world.put(0, 4, flags=ANONYMOUS | MAP_POPULATE)
    world.mmap(world.page(6), 2 * P, RW, MAP_SHARED | MAP_FIXED, fds[0], 0)
    world.touch(world.page(6))
    world.mmap(world.page(9), 2 * P, RW, MAP_PRIVATE | MAP_FIXED, fds[3], 0)
    world.touch(world.page(10))
    world.put(12, 2, flags=ANONYMOUS | MAP_POPULATE)
    world.put(18, 2, flags=MAP_SHARED | MAP_ANONYMOUS)
    world.touch(world.page(18))
    world.put(21, 3)
    world.touch(world.page(21))
    world.madvise(world.page(22), P, MADV_GUARD_INSTALL)


@pytest.mark.parametrize("first_page", FIRST_PAGES)
def test_a_read_maps_the_same_pages_around(
    first_page: int, pinned_child: KernelProcess, disk_files: Opens
) -> None:
    windows = [(first, pages) for first in (0, 3, 15) for pages in (1, 9, 20)]
    with Pair(pinned_child, disk_files, first_page) as pair:
        for first, pages in windows:
            for touched in range(0, pages, 3):
                for world, fds in pair.worlds:
                    where = world.page(first)
                    world.mmap(where, pages * P, RW, MAP_SHARED | MAP_FIXED, fds[0], 0)
                    world.touch(world.page(first + touched), write=False)
                engine, kernel = pair.smaps()
                assert engine == kernel, f"page {touched} of {pages} from {first} on"


def test_what_was_written_to_memory_is_dirty_for_others_after_the_same_steps(
    pinned_child: KernelProcess, memory_files: Opens
) -> None:
    # Pages 0 to 3 are mapped again at 8. Page 0 is written by a fault, 1 after it was read, 2
    # the same and then unmapped; 3 is only read.
    with Pair(pinned_child, memory_files) as pair:
        for world, _ in pair.worlds:
            world.put(0, 4, flags=MAP_SHARED | MAP_ANONYMOUS)
            world.touch(world.page(0))
            for page in 1, 2, 3:
                world.touch(world.page(page), write=False)
            world.touch(world.page(1))
            world.touch(world.page(2))
            world.madvise(world.page(2), P, MADV_DONTNEED)
            world.mremap(world.page(0), 0, 4 * P, MREMAP_FIXED | MREMAP_MAYMOVE, world.page(8))
            for page in range(8, 12):
                world.touch(world.page(page), write=False)
                world.mprotect(world.page(page), P, RW if page % 2 else PROT_READ)
        engine, kernel = pair.smaps()
        assert engine == kernel
        assert len(engine) == 5, "one record for each page that was mapped again"


def test_smaps_are_the_same_after_pages_were_paged_out(
    pinned_child: KernelProcess, disk_files: Opens
) -> None:
    with Pair(pinned_child, disk_files) as pair:
        for world, fds in pair.worlds:
            world.put(0, 4, flags=ANONYMOUS | MAP_POPULATE)
            world.mmap(world.page(6), 4 * P, RW, MAP_SHARED | MAP_FIXED, fds[0], 0)
            world.touch(world.page(6), write=False)
            for first in (0, 6):
                world.madvise(world.page(first), 4 * P, MADV_PAGEOUT)
        engine, kernel = pair.smaps()
        assert engine == kernel


@pytest.mark.parametrize("table_in_place", [False, True])
@pytest.mark.parametrize("first_file_page", [8, 9])
def test_a_read_behind_the_end_maps_the_last_page_alone_only_into_a_table(
    pinned_child: KernelProcess, disk_files: Opens, first_file_page: int, table_in_place: bool
) -> None:
    with Pair(pinned_child, disk_files) as pair:
        for world, fds in pair.worlds:
            if table_in_place:
                world.put(0, 1)
                world.touch(world.page(0))
            offset = first_file_page * P
            world.mmap(world.page(4), 4 * P, RW, MAP_PRIVATE | MAP_FIXED, fds[3], offset)
            with pytest.raises(OSError, match="Bad address"):
                world.touch(world.page(7), write=False)
        engine, kernel = pair.smaps()
        assert engine == kernel


def any_script(examples: int) -> settings:
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@any_script(100)
@given(script=smaps_scripts(ON_A_DISK), first_page=st.sampled_from(FIRST_PAGES))
def test_smaps_are_the_same_after_every_call_of_any_script(
    pinned_child: KernelProcess, disk_files: Opens, script: list[Call], first_page: int
) -> None:
    compare_after_every_call(Pair(pinned_child, disk_files, first_page), script)


@any_script(100)
@given(script=smaps_scripts(IN_MEMORY), first_page=st.sampled_from(FIRST_PAGES))
def test_smaps_are_the_same_after_every_call_where_pages_leave_files_in_memory(
    pinned_child: KernelProcess, memory_files: Opens, script: list[Call], first_page: int
) -> None:
    compare_after_every_call(Pair(pinned_child, memory_files, first_page), script)


def compare_after_every_call(pair: Pair, script: list[Call]) -> None:
    with pair:
        for number, call in enumerate(script):
            engine, kernel = (call.make(world, fds) for world, fds in pair.worlds)
            assert engine == kernel, f"step {number}, {call}"
            engine_smaps, kernel_smaps = pair.smaps()
            assert engine_smaps == kernel_smaps, f"after step {number}, {call}"
