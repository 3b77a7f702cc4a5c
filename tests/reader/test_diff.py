"""Differences of two maps, against the same page by page."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.entries import record
from untorn.maps.entry import MapsEntry
from untorn.maps.fields import Device, Permissions
from untorn.reader.diff import Change, ChangeKind
from untorn.reader.snapshot import Snapshot

PAGE = 4096
R, RW = b"r--p", b"rw-p"


def anon(start: int, end: int, permissions: bytes = RW, name: bytes = b"") -> MapsEntry:
    return MapsEntry(
        start * PAGE, end * PAGE, Permissions.parse(permissions), 0, Device(0, 0), 0, name
    )


def file(start: int, end: int, first: int, inode: int = 5, name: bytes = b"/f") -> MapsEntry:
    return MapsEntry(
        start * PAGE, end * PAGE, Permissions.parse(R), first * PAGE, Device(8, 1), inode, name
    )


def changes(old: list[MapsEntry], new: list[MapsEntry]) -> list[Change]:
    before, after = (Snapshot.parse(b"".join(e.line() for e in each)) for each in (old, new))
    return after.diff(before)


def told(old: list[MapsEntry], new: list[MapsEntry]) -> str:
    return " ".join(f"{c.kind} {c.start // PAGE}-{c.end // PAGE}" for c in changes(old, new))


def test_mapping_and_unmapping_are_told() -> None:
    assert told([anon(0, 2)], [anon(0, 2), anon(4, 6)]) == "mapped 4-6"
    assert told([anon(0, 2), anon(4, 6)], [anon(0, 2)]) == "unmapped 4-6"


def test_growing_and_shrinking_at_either_end_are_told() -> None:
    assert told([anon(2, 4)], [anon(1, 6)]) == "grown 1-2 grown 4-6"
    assert told([anon(1, 6)], [anon(2, 4)]) == "shrunk 1-2 shrunk 4-6"
    assert told([anon(0, 6)], [anon(0, 2), anon(4, 6)]) == "shrunk 2-4"


def test_splits_and_merges_are_no_change() -> None:
    assert told([anon(0, 6)], [anon(0, 2), anon(2, 6)]) == ""
    assert told([file(0, 2, 0), file(2, 6, 2)], [file(0, 6, 0)]) == ""


def test_new_permissions_are_told_of_the_pages_that_have_them() -> None:
    middle = [anon(0, 2), anon(2, 4, R), anon(4, 6)]
    assert told([anon(0, 6)], middle) == "protected 2-4"
    assert told(middle, [anon(0, 6)]) == "protected 2-4"
    [change] = changes([anon(0, 6)], middle)
    assert (change.before, change.after) == (anon(0, 6), anon(2, 4, R))


def test_a_new_name_is_told() -> None:
    assert told([anon(0, 2)], [anon(0, 2, name=b"[anon:x]")]) == "renamed 0-2"
    assert told([file(0, 2, 0)], [file(0, 2, 0, name=b"/f (deleted)")]) == "renamed 0-2"


def test_another_file_or_part_of_it_is_told() -> None:
    assert told([file(0, 2, 0)], [file(0, 2, 4)]) == "replaced 0-2"
    assert told([file(0, 2, 0)], [file(0, 2, 0, inode=6)]) == "replaced 0-2"
    assert told([anon(0, 4)], [anon(0, 1), file(1, 3, 0), anon(3, 4)]) == "replaced 1-3"


def test_pieces_of_one_change_are_put_together() -> None:
    pieces = [file(0, 2, 0), file(2, 3, 2), file(3, 6, 3)]
    assert told([], pieces) == "mapped 0-6"
    assert told([], [file(0, 2, 0), file(2, 4, 7)]) == "mapped 0-2 mapped 2-4"


KINDS = st.sampled_from([None, (RW, 0, b""), (R, 0, b""), (R, 0, b"[anon:a]"), (R, 1, b"/f")])


def as_map(pages: list[tuple[bytes, int, bytes] | None]) -> list[MapsEntry]:
    return [
        record(at * PAGE, (at + 1) * PAGE, kind[0], at * PAGE * kind[1], (kind[1],) * 2, *kind[1:])
        for at, kind in enumerate(pages)
        if kind
    ]


@given(st.lists(st.tuples(KINDS, KINDS), max_size=20))
def test_each_page_has_the_change_that_happened_to_it(pairs: list[tuple[Any, Any]]) -> None:
    found = changes(as_map([old for old, _ in pairs]), as_map([new for _, new in pairs]))
    by_page = {page: c for c in found for page in range(c.start // PAGE, c.end // PAGE)}
    for page, (old, new) in enumerate(pairs):
        assert (page in by_page) == (old != new)
        if old == new:
            continue
        kind = by_page[page].kind
        if old is None or new is None:
            mapped, unmapped = (
                {ChangeKind.MAPPED, ChangeKind.GROWN},
                {ChangeKind.UNMAPPED, ChangeKind.SHRUNK},
            )
            assert kind in (unmapped if new is None else mapped)
        elif old[1] != new[1]:
            assert kind == ChangeKind.REPLACED
        else:
            assert kind == (ChangeKind.PROTECTED if old[0] != new[0] else ChangeKind.RENAMED)
    assert [c.start for c in found] == sorted(c.start for c in found)


def test_a_snapshot_does_not_differ_from_itself() -> None:
    taken = Snapshot.parse(anon(0, 2).line())
    assert taken.diff(taken) == []
