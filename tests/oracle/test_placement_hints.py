"""What a hint for an address is worth: the same in engine and kernel."""

from errno import EEXIST

import pytest

from tests.oracle.rows import FOUR_LEVELS, skip_without
from tests.oracle.twins import FREE, GIB, GUARD_GAP, MMAP_BASE, Twins
from tests.oracle.worlds import ANONYMOUS
from untorn.maps.page import PAGE_SIZE, TASK_SIZE
from untorn.mm.mman import MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_GROWSDOWN

pytestmark = pytest.mark.live

P = PAGE_SIZE
FIVE_LEVELS = (1 << 47) + P, 1 << 55, (1 << 56) - 2 * P, (1 << 56) - P, 1 << 56
"""Byte addresses that mean something with page tables of five levels only."""
BEYOND = 1, P - 1, TASK_SIZE, 1 << 47, *FIVE_LEVELS, 0xFF72 << 48, 1 << 63, (1 << 64) - P
"""Byte addresses where nothing may be."""


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


@pytest.mark.parametrize("hint", BEYOND)
def test_a_hint_where_nothing_may_be_is_none(twins: Twins, hint: int) -> None:
    skip_without(FOUR_LEVELS, twins.kernel)
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


def test_fixed_noreplace_says_where_something_is(twins: Twins) -> None:
    flags = ANONYMOUS | MAP_FIXED_NOREPLACE
    addr = twins.mmap(FREE, 2 * P, flags=flags)
    assert twins.mmap(addr + P, 2 * P, flags=flags) == -EEXIST
    assert twins.mmap(addr + 2 * P, flags=flags) == addr + 2 * P
