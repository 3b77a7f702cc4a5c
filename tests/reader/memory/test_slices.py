"""Slices of invented page tables: each present page comes once, and huge pages as such."""

from collections.abc import Iterable
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from untorn.maps.page import PAGE_SIZE, PMD_SIZE
from untorn.maps.pagemap import (
    ENTRY_SIZE,
    PAGE_IS_FILE,
    PAGE_IS_HUGE,
    PAGE_IS_PFNZERO,
    PAGE_IS_PRESENT,
    PAGE_IS_SWAPPED,
    PM_MMAP_EXCLUSIVE,
    PM_PFRAME_MASK,
    PM_PRESENT,
    PM_SWAP,
    PageRegion,
    PageScan,
    PmScanArg,
)
from untorn.reader.memory.count import spread
from untorn.reader.memory.slices import PTRS_PER_PTE, MappedBy, Slices

BASE = 1 << 40
SLICES = 12
HUGE, HUGE_ZERO = "huge", "huge zero"
KINDS = HUGE, HUGE_ZERO, "table", "like huge", "zeros", "empty", "empty"


class Tables(NamedTuple):
    """Page tables: the entry of each page, and what a scan says of it."""

    kinds: list[str]
    starts: list[int]
    """Byte addresses of what is mapped."""
    ends: list[int]
    entries: list[int]
    categories: list[int]


@st.composite
def tables(draw: st.DrawFn) -> Tables:
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=SLICES))
    entries = [0] * (len(kinds) * PTRS_PER_PTE)
    categories = entries[:]
    edges = {0, len(entries)}
    for number, kind in enumerate(kinds):
        first = number * PTRS_PER_PTE
        if kind not in (HUGE, HUGE_ZERO):
            cuts = draw(st.sets(st.integers(first, first + PTRS_PER_PTE - 1), max_size=3))
            edges |= cuts
        pages = range(first, first + PTRS_PER_PTE)
        if kind == "table":
            pages_of = draw(st.sets(st.sampled_from(pages), max_size=20))
            step = draw(st.integers(2, 60))
            for page in pages_of | set(pages[::step]):
                swapped = page % 5 == 0
                entries[page] = (PM_SWAP | page) if swapped else PM_PRESENT | (page * 3 + 1)
                categories[page] = PAGE_IS_SWAPPED if swapped else PAGE_IS_PRESENT
        elif kind != "empty":
            for page in pages:
                entries[page], categories[page] = _whole(kind, page)
    bounds = list(pairwise(sorted(edges)))
    kept = [pair for pair in bounds if _must_be(kinds, pair) or draw(st.booleans())]
    mapped = {page for first, end in kept for page in range(first, end)}
    return Tables(
        kinds,
        [BASE + first * PAGE_SIZE for first, _ in kept],
        [BASE + end * PAGE_SIZE for _, end in kept],
        [each if page in mapped else 0 for page, each in enumerate(entries)],
        [each if page in mapped else -1 for page, each in enumerate(categories)],
    )


def _whole(kind: str, page: int) -> tuple[int, int]:
    """Return the entry and the categories of a page in a full slice."""
    if kind == "zeros":
        return PM_PRESENT | 7, PAGE_IS_PRESENT | PAGE_IS_PFNZERO
    frame = (page + PTRS_PER_PTE) if kind != HUGE_ZERO else page % PTRS_PER_PTE + PTRS_PER_PTE
    exclusive = PM_MMAP_EXCLUSIVE if page // PTRS_PER_PTE % 2 else 0
    told = PAGE_IS_PRESENT | (PAGE_IS_HUGE if kind in (HUGE, HUGE_ZERO) else 0)
    if kind == HUGE_ZERO:
        return PM_PRESENT | frame, told | PAGE_IS_PFNZERO | PAGE_IS_FILE
    return PM_PRESENT | frame | exclusive, told


def _must_be(kinds: list[str], pair: tuple[int, int]) -> bool:
    """Return whether a VMA has a whole huge page."""
    first, last = pair[0] // PTRS_PER_PTE, (pair[1] - 1) // PTRS_PER_PTE
    return any(kind in (HUGE, HUGE_ZERO) for kind in kinds[first : last + 1])


class MadeUpPages:
    """A pagemap of known page tables."""

    def __init__(self, tables: Tables, *, scans: bool, frames: bool) -> None:
        self.scans, self._tables = scans, tables
        mask = -1 if frames else ~PM_PFRAME_MASK
        self._entries = np.array([each & mask for each in tables.entries], np.uint64)
        self._runs = []
        for told, pages in groupby(enumerate(tables.categories), key=lambda each: each[1]):
            numbers = [page for page, _ in pages]
            if told >= 0:
                self._runs.append((numbers[0], numbers[-1] + 1, told))

    def read_at(self, offset: int, size: int) -> bytes:
        first = offset // ENTRY_SIZE - BASE // PAGE_SIZE
        assert 0 <= first < first + size // ENTRY_SIZE <= len(self._entries)
        return self._entries[first : first + size // ENTRY_SIZE].tobytes()

    def read_each(self, offsets: Iterable[int]) -> bytes:
        return b"".join(self.read_at(offset, ENTRY_SIZE) for offset in offsets)

    def scan(self, question: PmScanArg) -> PageScan:
        assert self.scans
        assert question.start < question.end
        regions = []
        for first, end, told in self._runs:
            start = max(BASE + first * PAGE_SIZE, question.start)
            stop = min(BASE + end * PAGE_SIZE, question.end)
            if start < stop and _is_wanted(told, question):
                regions.append(PageRegion(start, stop, told & question.return_mask))
        if question.max_pages and regions:
            end = regions[0].start + question.max_pages * PAGE_SIZE
            return PageScan([regions[0]._replace(end=end)], end)
        return PageScan(regions, question.end)

    def close(self) -> None:
        """There is nothing to close."""


def _is_wanted(told: int, question: PmScanArg) -> bool:
    told ^= question.category_inverted
    anyof = question.category_anyof_mask
    return told & question.category_mask == question.category_mask and bool(
        not anyof or told & anyof
    )


def found_by(slices: Slices, tables: Tables) -> tuple[dict[int, int], set[int]]:
    """Return the entry of each mapped page that was found, and which slices were huge."""
    found: dict[int, int] = {}
    huge = set()
    for chunk in slices.chunks(tables.starts, tables.ends):
        entries = chunk.entries
        first = (chunk.start - BASE) // PAGE_SIZE
        if chunk.by is MappedBy.HUGE:
            huge |= {first // PTRS_PER_PTE + number for number in range(len(entries))}
            entries = spread(entries)
        for page, entry in enumerate(entries.tolist(), first):
            if tables.categories[page] >= 0:
                assert page not in found, "a page comes once"
                found[page] = entry
    return found, huge


CHUNKS = st.sampled_from([PMD_SIZE, 2 * PMD_SIZE, 8 * PMD_SIZE])
EMPTY = st.sampled_from([PMD_SIZE, 3 * PMD_SIZE, 1 << 30])


@given(tables(), CHUNKS, EMPTY)
def test_with_frames_and_scans_all_that_there_is_comes_once(
    tables: Tables, chunk: int, most_empty: int
) -> None:
    pages = MadeUpPages(tables, scans=True, frames=True)
    slices = Slices(pages, chunk=chunk, most_empty=most_empty, drop_zeros=False)
    found, huge = found_by(slices, tables)
    zeros = [number for number, kind in enumerate(tables.kinds) if kind == HUGE_ZERO]
    for page, entry in enumerate(tables.entries):
        if page // PTRS_PER_PTE not in zeros:
            assert found.get(page, 0) == entry
    assert huge == {number for number, kind in enumerate(tables.kinds) if kind == HUGE}


@given(tables(), CHUNKS)
def test_without_frames_zeros_are_left_out(tables: Tables, chunk: int) -> None:
    pages = MadeUpPages(tables, scans=True, frames=False)
    found, huge = found_by(Slices(pages, chunk=chunk, drop_zeros=True), tables)
    for page, (entry, told) in enumerate(zip(tables.entries, tables.categories, strict=True)):
        is_zero = told >= 0 and told & PAGE_IS_PFNZERO
        assert found.get(page, 0) == (0 if is_zero else entry & ~PM_PFRAME_MASK)
    assert huge == {number for number, kind in enumerate(tables.kinds) if kind == HUGE}


@given(tables(), CHUNKS, st.booleans())
def test_without_scans_what_may_be_huge_is_of_one_range(
    tables: Tables, chunk: int, frames: bool
) -> None:
    pages = MadeUpPages(tables, scans=False, frames=frames)
    slices = Slices(pages, chunk=chunk, drop_zeros=not frames)
    found, huge = found_by(slices, tables)
    mask = -1 if frames else ~PM_PFRAME_MASK
    for page, entry in enumerate(tables.entries):
        assert found.get(page, 0) == entry & mask
    assert not huge
    unknown = set()
    for each in slices.chunks(tables.starts, tables.ends):
        if each.by is MappedBy.UNKNOWN:
            row = next(row for row, end in enumerate(tables.ends) if each.start < end)
            assert tables.starts[row] <= each.start
            assert each.start + PMD_SIZE <= tables.ends[row]
            unknown.add((each.start - BASE) // PMD_SIZE)
    assert unknown >= {number for number, kind in enumerate(tables.kinds) if kind == HUGE}


@given(tables(), st.sampled_from([PMD_SIZE, 2 * PMD_SIZE, 16 * PMD_SIZE]))
def test_what_is_populated_is_found_in_strides(tables: Tables, stride: int) -> None:
    slices = Slices(MadeUpPages(tables, scans=True, frames=True), chunk=PMD_SIZE, drop_zeros=False)
    for start, end in zip(tables.starts, tables.ends, strict=True):
        parts = list(slices.populated(start, end, stride))
        pages = [page for first, last in parts for page in range(first, last, PAGE_SIZE)]
        assert pages == sorted(set(pages))
        assert all(start <= page < end for page in pages)
        assert all(last - first <= stride for first, last in parts)
        inside = set(pages)
        for page in range(start, end, PAGE_SIZE):
            if tables.entries[(page - BASE) // PAGE_SIZE]:
                assert page in inside
