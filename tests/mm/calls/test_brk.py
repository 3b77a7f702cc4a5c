"""The heap: it grows and shrinks at its end, and brk never says why it did not."""

import pytest

from tests.helpers.engine import RW, Pages, addr, page_of, shown, text_of
from untorn.maps.page import PAGE_SIZE
from untorn.mm.limits import Limits
from untorn.mm.mman import MAP_ANONYMOUS, MAP_FIXED, MAP_GROWSDOWN, MAP_PRIVATE, PROT_READ

START = 2000  # room for a stack's guard gap below


def heap(limits: Limits | None = None) -> Pages:
    """Return a process with an empty heap that begins 100 bytes into page START."""
    process = Pages(limits=limits)
    process.mm.start_brk = process.mm.brk = addr(START) + 100
    return process


def ranges(process: Pages) -> list[tuple[int, int]]:
    process.check()
    return [(a - START, b - START) for a, b in shown(text_of(process))]


def test_it_grows_in_whole_pages_and_remembers_bytes() -> None:
    process = heap()
    end = addr(START) + 100 + 2 * PAGE_SIZE
    assert process.brk(end) == process.mm.brk == end
    assert ranges(process) == [(1, 3)], "the last page of the program's data is not in the heap"
    assert process.brk(end + 1) == end + 1
    assert ranges(process) == [(1, 3)]
    assert text_of(process).endswith(b"[heap]\n")


def test_it_grows_in_place_and_shrinks_again() -> None:
    process = heap()
    for pages in (3, 5, 2):
        process.brk(addr(START + pages))
        assert ranges(process) == [(1, pages)]
    process.brk(process.mm.start_brk)
    assert ranges(process) == []


def test_below_its_start_it_stays_where_it_is() -> None:
    process = heap()
    end = process.brk(addr(START + 2))
    assert process.brk(0) == end
    assert process.brk(process.mm.start_brk - 1) == end


def test_shrinking_unmaps_everything_in_between() -> None:
    process = heap()
    process.brk(addr(START + 8))
    process.map(START + 4, START + 5, PROT_READ)
    process.brk(addr(START + 2))
    assert ranges(process) == [(1, 2)]


def test_shrinking_over_nothing_fails() -> None:
    process = heap()
    end = process.brk(addr(START + 8))
    process.unmap(START + 1, START + 8)
    assert process.brk(addr(START + 2)) == end


@pytest.mark.parametrize(("pages", "fits"), [(3, True), (4, False)])
def test_it_keeps_a_page_away_from_the_next_mapping(pages: int, fits: bool) -> None:
    process = heap()
    process.map(START + 4, START + 5)
    end = process.brk(addr(START + pages))
    assert (page_of(end) == START + pages) is fits


def test_it_keeps_the_guard_gap_away_from_a_stack() -> None:
    process = heap()
    process.map(
        START + 260, START + 261, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN
    )
    assert page_of(process.brk(addr(START + 3))) == START + 3
    assert page_of(process.brk(addr(START + 4))) == START + 3


@pytest.mark.parametrize(
    "limits",
    [
        Limits(rlimit_data=3 * PAGE_SIZE),
        Limits(rlimit_as=3 * PAGE_SIZE),
        Limits(totalram_pages=3),
        Limits(max_map_count=-1),
    ],
)
def test_limits_hold_it(limits: Limits) -> None:
    process = heap(limits)
    before = process.mm.brk
    assert process.brk(addr(START + 9)) == before
    assert ranges(process) == []


def test_it_does_not_merge_with_what_follows_nor_with_what_it_may_not() -> None:
    process = heap()
    process.map(START, START + 1, PROT_READ)
    process.brk(addr(START + 2))
    assert ranges(process) == [(0, 1), (1, 2)]
