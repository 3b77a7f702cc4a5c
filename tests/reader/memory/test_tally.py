"""Entries of pagemap are counted as a plain loop counts them, page by page."""

from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from untorn.maps.page import PAGE_SIZE
from untorn.maps.pagemap import (
    KPF_ANON,
    KPF_DIRTY,
    KPF_KSM,
    KPF_SWAPBACKED,
    KPF_ZERO_PAGE,
    PM_FILE,
    PM_GUARD_REGION,
    PM_MMAP_EXCLUSIVE,
    PM_PFRAME_MASK,
    PM_PRESENT,
    PM_SWAP,
    PM_UFFD_WP,
)
from untorn.reader.memory.page_frames import Frames
from untorn.reader.memory.quantity import PSS_SHIFT, Quantity
from untorn.reader.memory.tally import Tally

PM_SOFT_DIRTY = 1 << 55


class Page(NamedTuple):
    """A page, as in a process about which everything is visible."""

    kind: str
    mappings: int = 1
    written: bool = False


KINDS = ("anonymous", "merged", "file", "memory", "zero", "device", "swapped", "guard", "nothing")
OF_FILES = "file", "memory"
PAGES = st.builds(Page, st.sampled_from(KINDS), st.integers(1, 6), st.booleans())


class MadeUpFrames:
    """Page frames of pages; each number is the page's index in the list plus 1."""

    def __init__(self, pages: list[Page]) -> None:
        self._pages = pages

    def _each(self, frames: Frames, number: Callable[[Page], int]) -> Frames:
        return np.array([number(self._pages[int(frame) - 1]) for frame in frames], np.uint64)

    def counts(self, frames: Frames) -> Frames:
        return self._each(
            frames, lambda page: 0 if page.kind in ("zero", "device") else page.mappings
        )

    def flags(self, frames: Frames) -> Frames:
        return self._each(frames, flags_of)


def flags_of(page: Page) -> int:
    flags = {
        "anonymous": KPF_ANON | KPF_SWAPBACKED,
        "merged": KPF_ANON | KPF_SWAPBACKED | KPF_KSM,
        "memory": KPF_SWAPBACKED,
        "zero": KPF_ZERO_PAGE,
    }
    return flags.get(page.kind, 0) | KPF_DIRTY * page.written


def entry(page: Page, frame: int) -> int:
    """Return what pagemap shows of a page; a swapped page is in area 3."""
    if page.kind == "nothing":
        return 0
    if page.kind == "swapped":
        return PM_SWAP | 3 | frame << 5
    if page.kind == "guard":
        return PM_SWAP | PM_GUARD_REGION | 31
    shown = PM_PRESENT | frame | (PM_FILE if page.kind in OF_FILES else 0)
    once = page.mappings == 1 and page.kind not in ("zero", "device")
    return shown | (PM_MMAP_EXCLUSIVE if once else 0)


def expected(page: Page) -> dict[str, Fraction]:
    """Return what a page counts, in pages."""
    if page.kind in ("swapped", "guard"):
        return {"swap" if page.kind == "swapped" else "guard": Fraction(1)}
    if page.kind in ("nothing", "zero", "device"):
        return {}
    one = Fraction(1)
    found = {"rss": one, "pss": one / page.mappings}
    found["private" if page.mappings == 1 else "shared"] = one
    if page.kind in OF_FILES:
        found[{"file": "pss_file", "memory": "pss_shmem"}[page.kind]] = one / page.mappings
        if not page.written:
            found["private_clean" if page.mappings == 1 else "shared_clean"] = one
            found["pss_clean"] = one / page.mappings
    else:
        found["anonymous"] = one
    if page.kind == "merged":
        found["ksm"] = one
    return found


def in_pages(counts: dict[str, int], name: str) -> Fraction:
    shift = PSS_SHIFT if name in SHARES else 0
    return Fraction(counts[name], PAGE_SIZE << shift)


SHARES = "pss", "pss_clean", "pss_file", "pss_shmem"
OF_FRAMES = *SHARES, "private_clean", "shared_clean", "swap"
"""Quantities that only frames show."""
NAMES = *OF_FRAMES, "rss", "private", "shared", "anonymous", "guard", "ksm"


def low_and_high(row: list[int], name: str) -> tuple[Fraction, Fraction]:
    counts = {quantity.name.lower(): row[quantity] for quantity in Quantity}
    low = in_pages(counts, name)
    room = counts.get(f"{name}_slack", 0)
    return low, low + in_pages({name: room}, name)


@given(
    pages=st.lists(PAGES, min_size=1, max_size=60),
    dirty=st.booleans(),
    ksm=st.booleans(),
    data=st.data(),
)
def test_with_page_frames_each_page_counts_for_what_it_is(
    pages: list[Page], dirty: bool, ksm: bool, data: st.DataObject
) -> None:
    if not ksm:
        pages = [page._replace(kind="file") if page.kind == "merged" else page for page in pages]
    pieces = data.draw(st.lists(st.integers(-1, 4), min_size=len(pages), max_size=len(pages)))
    tally = Tally(MadeUpFrames(pages), ksm=ksm, no_special=False)
    rows = tally.count(entries_of(pages, dirty=dirty), np.array(pieces, np.intp), 5).tolist()
    for piece, row in enumerate(rows):
        mine = [page for page, its in zip(pages, pieces, strict=True) if its == piece]
        assert_counted(row, mine, exact=NAMES)


def entries_of(pages: list[Page], *, frames: bool = True, dirty: bool = False) -> Frames:
    shown = [entry(page, number) for number, page in enumerate(pages, 1)]
    entries = np.array(shown, np.uint64) | np.uint64(PM_SOFT_DIRTY * dirty)
    return entries if frames else entries & ~np.uint64(PM_PFRAME_MASK)


def assert_counted(row: list[int], pages: list[Page], exact: tuple[str, ...] = ()) -> None:
    for name in NAMES:
        true = sum((expected(page).get(name, Fraction(0)) for page in pages), Fraction(0))
        low, high = low_and_high(row, name)
        rounding = Fraction(len(pages), PAGE_SIZE << PSS_SHIFT) if name in SHARES else 0
        assert low <= true <= high + rounding, name
        assert low == high or name not in exact, name


@given(st.lists(PAGES, min_size=1, max_size=60), st.booleans())
def test_without_page_frames_there_are_bounds(pages: list[Page], ksm: bool) -> None:
    if not ksm:
        pages = [page._replace(kind="file") if page.kind == "merged" else page for page in pages]
    tally = Tally(None, ksm=ksm, no_special=False)
    (row,) = tally.count(entries_of(pages, frames=False), np.zeros(len(pages), np.intp), 1).tolist()
    exact = ("private", "guard") if ksm else ("private", "guard", "ksm")
    assert_counted(row, pages, exact)


@given(st.lists(PAGES, min_size=1, max_size=60))
def test_without_zeros_all_but_shares_and_swap_is_known(pages: list[Page]) -> None:
    pages = [page for page in pages if page.kind not in ("zero", "device", "merged")]
    tally = Tally(None, ksm=False, no_special=True)
    (row,) = tally.count(entries_of(pages, frames=False), np.zeros(len(pages), np.intp), 1).tolist()
    assert_counted(row, pages, tuple(set(NAMES).difference(OF_FRAMES)))


@given(PAGES, st.integers(1, 40), st.booleans(), st.booleans())
def test_pages_that_are_alike_count_the_same_together(
    page: Page, number: int, frames: bool, ksm: bool
) -> None:
    pages = [page] * number
    tally = Tally(MadeUpFrames(pages) if frames else None, ksm=ksm, no_special=False)
    entries = entries_of(pages, frames=frames)
    together = tally.count_alike(entries)
    if together is not None:
        (row,) = tally.count(entries, np.zeros(number, np.intp), 1)
        assert together.tolist() == row.tolist()


@given(st.lists(PAGES, min_size=1, max_size=40), st.booleans(), st.booleans())
def test_of_what_may_be_huge_the_entries_do_not_tell_who_has_it(
    pages: list[Page], frames: bool, one_flag: bool
) -> None:
    pages = [page for page in pages if page.kind not in ("swapped", "guard", "merged")]
    entries = entries_of(pages, frames=frames)
    anonymous = np.array([page.kind == "anonymous" for page in pages], np.bool_)
    own = np.uint64(PM_MMAP_EXCLUSIVE)
    wrong = np.where(anonymous, entries | own if one_flag else entries & ~own, entries)
    tally = Tally(MadeUpFrames(pages) if frames else None, ksm=False, no_special=False)
    row = tally.count_unsure(wrong, zeros=True).tolist()
    assert_counted(row, pages, NAMES if frames else ())


NONE, ONE = Fraction(0), Fraction(1)
MOVING = 26
"""The swap type of a page under migration."""


@pytest.mark.parametrize("type_", [0, 22])
def test_what_stands_in_the_place_of_a_page_is_swapped(type_: int) -> None:
    tally = Tally(MadeUpFrames([]), ksm=False, no_special=False)
    entries = np.array([PM_SWAP | type_ | 77 << 5], np.uint64)
    (row,) = tally.count(entries, np.zeros(1, np.intp), 1).tolist()
    assert low_and_high(row, "swap") == (ONE, ONE)
    assert {low_and_high(row, name) for name in NAMES if name != "swap"} == {(NONE, NONE)}


@given(PAGES.filter(lambda page: page.kind in ("anonymous", *OF_FILES)))
def test_a_page_on_the_move_counts_as_one_that_is_mapped_once_and_shared(page: Page) -> None:
    tally = Tally(MadeUpFrames([page]), ksm=False, no_special=False)
    shown = PM_SWAP | MOVING | 1 << 5 | (PM_FILE if page.kind in OF_FILES else 0)
    (row,) = tally.count(np.array([shown], np.uint64), np.zeros(1, np.intp), 1).tolist()
    true = expected(page._replace(mappings=1))
    true["shared"] = true.pop("private")
    if "private_clean" in true:
        true["shared_clean"] = true.pop("private_clean")
    assert {name: low_and_high(row, name) for name in NAMES} == {
        name: (true.get(name, NONE), true.get(name, NONE)) for name in NAMES
    }


@pytest.mark.parametrize("frames", [True, False])
def test_a_mark_of_userfaultfd_is_not_surely_in_swap(frames: bool) -> None:
    tally = Tally(MadeUpFrames([]) if frames else None, ksm=False, no_special=False)
    mark = PM_SWAP | PM_UFFD_WP | (31 if frames else 0)
    (row,) = tally.count(np.array([mark], np.uint64), np.zeros(1, np.intp), 1).tolist()
    assert low_and_high(row, "swap") == (NONE, NONE if frames else ONE)
    assert low_and_high(row, "rss") == (NONE, NONE)
