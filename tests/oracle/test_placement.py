"""Where mappings go that do not say where: the same address from engine and kernel."""

import os
from collections.abc import Iterator
from errno import EEXIST, ENOMEM
from pathlib import Path

import pytest
from kernel_process import KernelProcess, why_not
from real_files import vm_file
from twins import MMAP_BASE, Twins, twins_of, why_no_known_base
from worlds import ANONYMOUS

from untorn.mm.mman import (
    MAP_32BIT,
    MAP_ABOVE4G,
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_STACK,
    PROT_READ,
)
from untorn.mm.page import PAGE_SIZE, PMD_SIZE, TASK_SIZE

pytestmark = pytest.mark.live

P, HUGE = PAGE_SIZE, PMD_SIZE
GIB = 1 << 30
FREE = 0x3000_0000_0000
"""Byte address with nothing near it."""
GUARD_GAP = 256 * P
SHMEM_HUGE = Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled")


@pytest.fixture(scope="module")
def fixed_child() -> Iterator[KernelProcess]:
    """A child without randomization, so that mmap_base is known."""
    if reason := why_not() or why_no_known_base():
        pytest.skip(reason)
    try:
        with KernelProcess("fixed-layout") as process:
            yield process
    except ChildProcessError as error:
        pytest.skip(f"no process without randomization can be had here: {error}")


@pytest.fixture
def twins(fixed_child: KernelProcess) -> Iterator[Twins]:
    with twins_of(fixed_child) as both:
        both.plug()
        yield both


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
def test_whole_huge_pages_of_private_memory_are_aligned(twins: Twins, length, flags) -> None:
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


@pytest.mark.parametrize("nudge", [0, 1, P - 1])
@pytest.mark.parametrize("page", [FREE, MMAP_BASE + P], ids=["far away", "above mmap_base"])
def test_a_hint_that_is_free_is_taken_at_its_page(twins: Twins, page: int, nudge: int) -> None:
    assert twins.mmap(page + nudge) == page


def test_a_hint_below_mmap_min_addr_is_raised_to_it(twins: Twins) -> None:
    least = twins.engine.process.mm.limits.mmap_min_addr
    assert twins.mmap(P) == least
    twins.munmap(least)
    assert twins.mmap(least - 1) == (least if least > P else MMAP_BASE)
    assert twins.mmap(P) > least, "it is taken now"


@pytest.mark.parametrize("hint", [1, P - 1, TASK_SIZE, TASK_SIZE + P, 1 << 63, (1 << 64) - P])
def test_a_hint_where_nothing_may_be_is_none(twins: Twins, hint: int) -> None:
    assert twins.mmap() - twins.mmap(hint) == P


def test_a_hint_whose_range_is_not_all_free_is_ignored(twins: Twins) -> None:
    twins.mmap(FREE)
    for hint, length in (FREE, P), (FREE - P, 2 * P), (FREE - P, 3 * P):
        assert twins.mmap(hint, length) > FREE + GIB
    assert twins.mmap(FREE - P) == FREE - P
    assert twins.mmap(FREE + P) == FREE + P


@pytest.mark.parametrize("below", [P, 2 * P, GUARD_GAP, GUARD_GAP + P])
def test_a_hint_in_the_guard_gap_of_a_stack_is_ignored(twins: Twins, below: int) -> None:
    twins.mmap(FREE, flags=ANONYMOUS | MAP_GROWSDOWN)
    placed = twins.mmap(FREE - below)
    assert (placed == FREE - below) == (below > GUARD_GAP)
    twins.munmap(placed)
    assert twins.mmap(FREE - below, flags=ANONYMOUS | MAP_FIXED) == FREE - below


def test_a_hint_that_ends_where_the_guard_gap_begins_is_taken(twins: Twins) -> None:
    twins.mmap(FREE, flags=ANONYMOUS | MAP_GROWSDOWN)
    hint = FREE - GUARD_GAP - 3 * P
    assert twins.mmap(hint, 4 * P) > FREE
    assert twins.mmap(hint, 3 * P) == hint


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


def test_fixed_noreplace_says_where_something_is(twins: Twins) -> None:
    flags = ANONYMOUS | MAP_FIXED_NOREPLACE
    addr = twins.mmap(FREE, 2 * P, flags=flags)
    assert twins.mmap(addr + P, 2 * P, flags=flags) == -EEXIST
    assert twins.mmap(addr + 2 * P, flags=flags) == addr + 2 * P
