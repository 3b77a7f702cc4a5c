"""Where mappings go that do not say where: the same address from engine and kernel."""

import os
from errno import ENOMEM
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracle.kernel_process import KernelProcess
from tests.oracle.real_files import vm_file
from tests.oracle.twins import FREE, GIB, GUARD_GAP, MMAP_BASE, Twins, twins_of
from tests.oracle.worlds import ANONYMOUS
from untorn.maps.page import PAGE_SIZE, PMD_SIZE
from untorn.mm.mman import (
    MAP_32BIT,
    MAP_ABOVE4G,
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED,
    MAP_GROWSDOWN,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_STACK,
    PROT_READ,
)

pytestmark = pytest.mark.live

P, HUGE = PAGE_SIZE, PMD_SIZE
SHMEM_HUGE = Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled")


def test_pages_go_down_one_below_the_other(twins: Twins) -> None:
    first, second, third = (twins.mmap() for _ in range(3))
    assert first < MMAP_BASE
    assert (first - second, second - third) == (P, P)


def test_the_highest_hole_that_fits_is_taken_first(twins: Twins) -> None:
    # high to low: A small B large C; a page goes where small was, more where large was
    a, small, b, large, _c = (twins.mmap(length=n * P) for n in (64, 1, 64, 4, 64))
    assert small + P == a
    twins.munmap(small)
    twins.munmap(large, 4 * P)
    assert twins.mmap(length=2 * P) == large + 2 * P
    assert twins.mmap() == small
    assert twins.mmap(length=2 * P) == large
    assert b > large


@pytest.mark.parametrize("length", [HUGE, 2 * HUGE, 64 * HUGE], ids=["2M", "4M", "128M"])
@pytest.mark.parametrize(
    "flags",
    [ANONYMOUS, ANONYMOUS | MAP_STACK, ANONYMOUS | MAP_32BIT, MAP_ANONYMOUS | MAP_DROPPABLE],
    ids=["private", "stack", "32bit", "droppable"],
)
def test_whole_huge_pages_of_private_memory_are_aligned(
    twins: Twins, length: int, flags: int
) -> None:
    twins.mmap()
    assert twins.mmap(length=length, flags=flags) % HUGE == 0
    assert twins.mmap(length=length, flags=flags) % HUGE == 0


@pytest.mark.parametrize(
    "length", [HUGE + P, HUGE - P, 4 * HUGE + P], ids=["2M+4K", "2M-4K", "8M+4K"]
)
def test_other_lengths_are_not_aligned(twins: Twins, length: int) -> None:
    first = twins.mmap()
    assert first - twins.mmap(length=length) == length


def test_shared_memory_is_not_aligned(twins: Twins) -> None:
    if "[never]" not in SHMEM_HUGE.read_text():
        pytest.skip("shared memory may be huge here: the engine models shmem_enabled=never")
    first = twins.mmap()
    assert first - twins.mmap(length=HUGE, flags=MAP_SHARED | MAP_ANONYMOUS) == HUGE


def test_a_hint_is_not_aligned(twins: Twins) -> None:
    assert twins.mmap(FREE + P, HUGE) == FREE + P


def test_a_file_is_aligned_where_a_huge_page_of_it_fits(twins: Twins, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    file = vm_file(path, os.O_RDONLY)
    fds = twins.engine.adopt(file), twins.kernel.open(path, os.O_RDONLY)
    for length, offset in [(HUGE, 0), (HUGE, P), (2 * HUGE, P), (2 * HUGE - P, P), (HUGE + P, 0)]:
        for hint in 0, FREE + P:
            twins.mmap(hint, length, PROT_READ, MAP_PRIVATE, fds, offset)
    hole = twins.mmap(FREE + GIB, 3 * HUGE)
    twins.munmap(hole + P, HUGE)
    twins.mmap(hole + P, HUGE, PROT_READ, MAP_PRIVATE, fds)


def test_a_search_from_above_keeps_out_of_guard_gaps(twins: Twins) -> None:
    # floor, a hole of the guard gap and four pages, stack
    floor = twins.mmap(length=GUARD_GAP + 6 * P)
    hole, stack = floor + P, floor + GUARD_GAP + 5 * P
    twins.munmap(hole, GUARD_GAP + 4 * P)
    twins.mmap(stack, flags=ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN)
    assert twins.mmap(length=5 * P) == floor - 5 * P
    assert twins.mmap(length=3 * P) == hole + P
    assert twins.mmap() == hole
    assert twins.mmap() == floor - 6 * P


@pytest.mark.parametrize("hint", [0, 0x5000_0000, 0x2000_0000, 0x7FFF_F000, 0x8000_0000, FREE])
def test_map_32bit_goes_up_from_one_gigabyte(twins: Twins, hint: int) -> None:
    flags = ANONYMOUS | MAP_32BIT
    addresses = [twins.mmap(hint, 2 * P, flags=flags) for _ in range(3)]
    assert all(addr + 2 * P <= 0x8000_0000 for addr in addresses)


def test_map_32bit_keeps_out_of_guard_gaps(twins: Twins) -> None:
    twins.mmap(0x4000_0000 + GUARD_GAP, flags=ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN)
    assert twins.mmap(flags=ANONYMOUS | MAP_32BIT) == 0x4000_0000 + GUARD_GAP + P


def test_map_32bit_has_one_gigabyte(twins: Twins) -> None:
    flags = ANONYMOUS | MAP_32BIT | MAP_NORESERVE
    assert twins.mmap(length=GIB + P, flags=flags) == -ENOMEM
    assert twins.mmap(length=GIB, flags=flags) == 0x4000_0000
    assert twins.mmap(flags=flags) == -ENOMEM


def test_map_above4g_stays_above(twins: Twins) -> None:
    flags = ANONYMOUS | MAP_ABOVE4G | MAP_NORESERVE
    assert twins.mmap(length=GIB, flags=flags) > 4 * GIB
    assert twins.mmap(0x7000_0000, flags=flags) == 0x7000_0000, "a hint is taken all the same"


def test_when_all_below_is_full_the_search_goes_up(twins: Twins) -> None:
    fill(twins, MMAP_BASE)
    assert twins.mmap() >= MMAP_BASE
    assert twins.mmap(length=HUGE) >= MMAP_BASE
    assert twins.mmap(length=16 * HUGE) >= MMAP_BASE
    assert twins.mmap(length=GIB) == -ENOMEM


def fill(twins: Twins, end: int) -> None:
    """Map every hole below end."""
    length = 1 << 46
    while length >= P:
        # One page more than whole huge pages, which would be aligned.
        more = P if length >= HUGE else 0
        addr = twins.mmap(length=length + more, flags=ANONYMOUS | MAP_NORESERVE)
        if addr >= end:
            twins.munmap(addr, length + more)
        if addr < 0 or addr >= end:
            length >>= 1


lengths = st.sampled_from([P, P, 2 * P, 5 * P, 64 * P, HUGE, HUGE, HUGE + P, 3 * HUGE, GIB])
kinds = st.sampled_from([ANONYMOUS, ANONYMOUS, ANONYMOUS | MAP_GROWSDOWN, ANONYMOUS | MAP_32BIT])


@settings(max_examples=300, derandomize=True, database=None)
@given(script=st.lists(st.tuples(lengths, kinds, st.integers(0, 7)), min_size=8, max_size=24))
def test_holes_of_any_history_are_filled_alike(
    fixed_child: KernelProcess, script: list[tuple[int, int, int]]
) -> None:
    # Each number says which mapping goes again, if there are so many.
    with twins_of(fixed_child) as twins:
        mapped: list[tuple[int, int]] = []
        for length, flags, which in script:
            addr = twins.mmap(length=length, flags=flags | MAP_NORESERVE)
            if addr > 0:
                mapped.append((addr, length))
            if which < len(mapped) // 2:
                twins.munmap(*mapped.pop(which))
