"""What a slice of pagemap may show, given the states while it was read."""

import struct

import pytest

from untorn.check.stage.page_history import PageState, counts_of, is_of, slices
from untorn.check.stage.pages import BASE
from untorn.maps.page import PAGE_SIZE, PMD_SIZE
from untorn.maps.pagemap import PM_MMAP_EXCLUSIVE, PM_PRESENT

BORDER = (PMD_SIZE - BASE) // PAGE_SIZE


@pytest.mark.parametrize(
    ("found", "states", "may_be"),
    [
        ((1, 0), [(1, 0)], True),
        ((1, 1), [(1, 0), (0, 1)], False),
        ((0, 0), [(1, 0), (0, 1)], False),
        ((1, 0), [(2, 0), (0, 1)], False),
        ((2, 1), [(2, 2), (1, 2), (1, 1)], True),
        (None, [(1, 0)], False),
        (None, [(1, 0), None], True),
        ((0, 0), [(1, 0), None], False),
        ((1, 0), [None], False),
    ],
    ids=[
        "as it was",
        "a page that moved at both places",
        "and at neither",
        "a count that the page never had",
        "counts of several states",
        "nothing of a living process",
        "nothing of one that ended",
        "no pages of one that ended",
        "pages of one that had ended before",
    ],
)
def test_which_pages_are_there_is_of_one_state_and_each_count_of_some(
    found: PageState, states: list[PageState], may_be: bool
) -> None:
    assert is_of(found, states) is may_be


def test_entries_are_counts_and_no_entries_are_no_process() -> None:
    entries = 0, PM_PRESENT | PM_MMAP_EXCLUSIVE | 77, PM_PRESENT | 78
    assert counts_of(struct.pack("<3Q", *entries)) == (0, 1, 2)
    assert counts_of(b"") is None


def test_slices_end_at_borders_of_tables() -> None:
    assert slices(BORDER - 2, BORDER + 2) == [(BORDER - 2, BORDER), (BORDER, BORDER + 2)]
    assert slices(BORDER, BORDER + 2) == [(BORDER, BORDER + 2)]
