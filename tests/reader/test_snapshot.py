"""What a snapshot answers, against the plain list of its lines."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from untorn.maps.entry import MapsEntry
from untorn.maps.fields import Device, Permissions
from untorn.reader.snapshot import Snapshot, Total
from untorn.reader.text.columns import resolve_overlaps

PAGE = 4096
NAMES = b"", b"[heap]", b"/lib/c.so", b"/tmp/gone (deleted)"
HOLE = b"hole"


def entry(start: int, end: int, name: bytes = b"", permissions: bytes = b"rw-p") -> MapsEntry:
    """Convert pages to an entry."""
    inode = 7 if name.startswith(b"/") else 0
    return MapsEntry(
        start * PAGE, end * PAGE, Permissions.parse(permissions), 0, Device(0, 0), inode, name
    )


def snapshot(*entries: MapsEntry) -> Snapshot:
    return Snapshot.parse(b"".join(each.line() for each in entries))


def between_marks(marks: list[tuple[int, bytes]]) -> list[MapsEntry]:
    """An entry from each mark to the next, or a hole if the name says so."""
    pairs = pairwise(sorted(marks))
    return [entry(low, high, name) for (low, name), (high, _) in pairs if name != HOLE]


MARKS = st.tuples(st.integers(0, 60), st.sampled_from([*NAMES, HOLE]))
MAPS = st.lists(MARKS, unique_by=lambda mark: mark[0]).map(between_marks)


@given(MAPS, st.integers(-1, 62 * PAGE), st.integers(-1, 62 * PAGE))
def test_lookups_are_those_in_a_list(entries: list[MapsEntry], low: int, high: int) -> None:
    taken = snapshot(*entries)
    assert list(taken) == taken[:] == entries
    assert taken.find(low) == next((e for e in entries if e.start <= low < e.end), None)
    low, high = sorted((low, high))
    assert taken.between(low, high + 1) == [e for e in entries if e.start <= high and e.end > low]
    assert taken.size == sum(e.end - e.start for e in entries)


@given(MAPS)
def test_totals_count_each_name_once(entries: list[MapsEntry]) -> None:
    totals = snapshot(*entries).totals()
    assert totals == {
        name: Total(len(each), sum(e.end - e.start for e in each))
        for name in NAMES
        if (each := [e for e in entries if e.name == name])
    }
    sizes = [total.size for total in totals.values()]
    assert sizes == sorted(sizes, reverse=True)


def test_addresses_at_the_very_end_are_found() -> None:
    gate = MapsEntry(
        0xFFFFFFFFFF600000,
        0xFFFFFFFFFF601000,
        Permissions.parse(b"--xp"),
        0,
        Device(0, 0),
        0,
        b"[vsyscall]",
    )
    taken = snapshot(entry(1, 2), gate)
    assert taken.find(0xFFFFFFFFFF600FFF) == gate
    assert taken.find((1 << 64) - 1) is None
    assert taken.find(1 << 64) is None
    assert taken.between(0, 1 << 64) == [entry(1, 2), gate]


def test_snapshots_are_equal_if_their_vmas_are() -> None:
    taken = snapshot(entry(1, 2), entry(2, 3, b"[heap]"))
    assert taken == Snapshot.parse(b"".join(each.line() for each in taken))
    assert taken != snapshot(entry(1, 2), entry(2, 3))
    assert taken != snapshot(entry(1, 2))
    assert taken != [entry(1, 2), entry(2, 3, b"[heap]")]
    with pytest.raises(TypeError):
        hash(taken)


def test_the_text_that_was_read_is_that_of_the_map_unless_something_was_done_to_it() -> None:
    lines = [entry(1, 2).line(), entry(2, 3, b"[heap]").line()]
    assert Snapshot.parse(b"".join(lines)).text == b"".join(lines)
    assert Snapshot.parse(b"").text == b""
    shown_twice = b"".join([*lines, entry(2, 5, b"[heap]").line()])
    assert Snapshot.parse(shown_twice).text is None
    assert Snapshot.parse(b"> " + lines[0], strict=False).text is None


def test_columns_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        snapshot(entry(1, 2)).start[0] = 5


def test_deleted_is_told_of_files_and_rows() -> None:
    taken = snapshot(entry(1, 2, b"/a (deleted)"), entry(2, 3, b"/a"), entry(3, 4, b"[x (deleted)"))
    assert [each.deleted for each in taken] == [True, False, False]
    assert taken.deleted.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("shown", "resolved", "gave_way"),
    [
        ("0-1 0-3", "0-3", 1),
        ("0-1 1-2 0-3", "0-3", 2),
        ("0-2 4-5 3-8", "0-2 3-8", 1),
        ("0-4 3-8", "0-3 3-8", 1),
        ("0-1 1-4 2-5 0-6", "0-6", 4),
        ("0-9 8-10 4-12", "0-4 4-12", 3),
        ("0-1 2-3", "0-1 2-3", 0),
    ],
)
def test_what_is_shown_twice_counts_in_its_newer_form(
    shown: str, resolved: str, gave_way: int
) -> None:
    pages = (each.split("-") for each in shown.split())
    entries = [entry(int(start), int(end)) for start, end in pages]
    taken = snapshot(*entries)
    assert " ".join(f"{e.start // PAGE}-{e.end // PAGE}" for e in taken) == resolved
    assert taken.coherence.overlaps == gave_way


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=12))
def test_after_overlaps_are_resolved_each_page_is_as_last_shown(
    shapes: list[tuple[int, int]],
) -> None:
    entries, end = [], 0
    for number, (back, growth) in enumerate(shapes):
        start = max(end + 3 - back, 0)
        end += growth + 3 - min(3, back)
        end = max(end, start + 1)
        entries.append(entry(start, end, b"%d" % number))
    if any(b.end <= a.end for a, b in pairwise(entries)):
        return
    last = {page: e.name for e in entries for page in range(e.start, e.end, PAGE)}
    taken = snapshot(*entries)
    assert {page: e.name for e in taken for page in range(e.start, e.end, PAGE)} == last
    assert (taken.start[1:] >= taken.end[:-1]).all()


def test_lines_that_end_below_the_one_before_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^line 3, column 10: 00005000, not above .* 00005000"):
        snapshot(entry(0, 1), entry(1, 5), entry(4, 5))


def test_without_overlap_nothing_is_copied() -> None:
    columns = snapshot(entry(0, 1), entry(1, 5)).columns
    assert resolve_overlaps(columns) == (columns, 0)
    assert resolve_overlaps(columns)[0] is columns
    assert np.shares_memory(columns.take(slice(1)).start, columns.start)
