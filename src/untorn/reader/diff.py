"""What changed from one map to another: page by page, not line by line.

A split or a merge shows the same memory in other lines, and does not count as a change. Only lines
that one map has and the other has not are compared: their borders cut both maps into pieces, and
each piece was mapped before, is mapped now, or both. Equal neighbours are joined.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from untorn.maps.entry import MapsEntry
from untorn.reader.text.columns import Columns, Numbers, Rows
from untorn.reader.text.hex_field import Truths


class ChangeKind(StrEnum):
    """What happened to a range."""

    MAPPED = "mapped"
    UNMAPPED = "unmapped"
    GROWN = "grown"
    """Mapped, by a VMA that existed before and now covers this range, too."""
    SHRUNK = "shrunk"
    """Unmapped, from a VMA that still exists in part."""
    PROTECTED = "protected"
    """Other permissions, perhaps also another name."""
    RENAMED = "renamed"
    REPLACED = "replaced"
    """Another file, another part of the file, or a change between file and anonymous memory."""


class Change(NamedTuple):
    """One range to which one thing happened."""

    kind: ChangeKind
    start: int
    """Byte address."""
    end: int
    """Byte address after the last one."""
    before: MapsEntry | None
    """The VMA that covered the start of the range; None if none did."""
    after: MapsEntry | None
    """The VMA that covers it now; None if none does."""


def diff(old: Columns, new: Columns) -> list[Change]:
    """Return the changes, in the order of addresses. Both must be disjoint and ascending."""
    before, after = _changed(old, new)
    if not len(before) + len(after):
        return []
    borders = np.unique(np.concatenate([before.start, before.end, after.start, after.end]))
    pieces = _Pieces(borders[:-1], before, after)
    changes: list[Change] = []
    for kind, piece in pieces.kinds():
        change = pieces.change(kind, piece, int(borders[piece + 1]))
        if changes and _continues(changes[-1], change):
            changes[-1] = changes[-1]._replace(end=change.end)
        else:
            changes.append(change)
    return changes


def same_rows(old: Columns, new: Columns) -> tuple[Rows, Rows]:
    """Return the rows of each that the other has too, in the order of addresses."""
    if old is new:
        every = np.arange(len(old))
        return every, every
    names = {name: index for index, name in enumerate(new.names)}
    renumbered = old.names_among(names)[old.name]
    _, ours, theirs = np.intersect1d(old.start, new.start, assume_unique=True, return_indices=True)
    same = renumbered[ours] == new.name[theirs]
    for field in "end", "permissions", "offset", "device", "inode":
        same &= getattr(old, field)[ours] == getattr(new, field)[theirs]
    return ours[same], theirs[same]


def _changed(old: Columns, new: Columns) -> tuple[Columns, Columns]:
    """Return the rows of each that the other does not have."""
    ours, theirs = same_rows(old, new)
    return old.take(other_rows(len(old), ours)), new.take(other_rows(len(new), theirs))


def other_rows(count: int, rows: Rows) -> Rows:
    """Return the row numbers below count that are not among these."""
    mask = np.ones(count, np.bool_)
    mask[rows] = False
    return np.flatnonzero(mask)


class _Pieces:
    """Ranges between borders, each with the rows that cover it before and after; -1 for none."""

    def __init__(self, starts: Numbers, before: Columns, after: Columns) -> None:
        self.starts, self.before, self.after = starts, before, after
        self.old, self.new = _covering(before, starts), _covering(after, starts)

    def kinds(self) -> Iterator[tuple[ChangeKind, int]]:
        """Yield pieces and what happened to them."""
        both = (self.old >= 0) & (self.new >= 0)
        moved, renamed, protected = self._compare(both)
        kept = both & ~moved
        still_there = np.isin(self.old, self.old[kept])
        was_there = np.isin(self.new, self.new[kept])
        here = {
            ChangeKind.REPLACED: both & moved,
            ChangeKind.PROTECTED: kept & protected,
            ChangeKind.RENAMED: kept & renamed & ~protected,
            ChangeKind.GROWN: (self.old < 0) & (self.new >= 0) & was_there,
            ChangeKind.MAPPED: (self.old < 0) & (self.new >= 0) & ~was_there,
            ChangeKind.SHRUNK: (self.old >= 0) & (self.new < 0) & still_there,
            ChangeKind.UNMAPPED: (self.old >= 0) & (self.new < 0) & ~still_there,
        }
        kinds = list(here)
        which = np.select(list(here.values()), range(len(kinds)), -1)
        for piece in np.flatnonzero(which >= 0).tolist():
            yield kinds[which[piece]], piece

    def _compare(self, both: Truths) -> tuple[Truths, Truths, Truths]:
        """Return for each piece whether its file, its name and its permissions changed.

        All are False for a piece that is mapped only before or only after.
        """
        pieces = np.flatnonzero(both)
        names = {name: index for index, name in enumerate(self.after.names)}
        renumbered = self.before.names_among(names)[self.before.name]
        old = self.before.replace(name=renumbered).take(self.old[pieces])
        new = self.after.take(self.new[pieces])
        moved, renamed, protected = np.zeros((3, len(both)), np.bool_)
        # Where address 0 would be in the file, modulo 2**64; anonymous memory has no such place.
        has_place = (new.device | new.inode | new.offset) != 0
        elsewhere = (old.offset - old.start != new.offset - new.start) & has_place
        moved[pieces] = elsewhere | (old.device != new.device) | (old.inode != new.inode)
        renamed[pieces] = old.name != new.name
        protected[pieces] = old.permissions != new.permissions
        return moved, renamed, protected

    def change(self, kind: ChangeKind, piece: int, end: int) -> Change:
        """Return the change of one piece."""
        old, new = int(self.old[piece]), int(self.new[piece])
        return Change(
            kind,
            int(self.starts[piece]),
            end,
            self.before.entry(old) if old >= 0 else None,
            self.after.entry(new) if new >= 0 else None,
        )


def _covering(columns: Columns, starts: Numbers) -> Rows:
    """Return the row that covers each address, -1 for none."""
    rows = np.searchsorted(columns.start, starts, side="right") - 1
    ends = np.append(columns.end, np.uint64(0))  # for row -1
    rows[starts >= ends[rows]] = -1
    return rows


def _continues(last: Change, change: Change) -> bool:
    """Return whether the same happened right below, to the same kind of memory."""
    ours, theirs = (
        (each.kind, _memory(each.before, each.start), _memory(each.after, each.start))
        for each in (last._replace(start=last.end), change)
    )
    return last.end == change.start and ours == theirs


def _memory(entry: MapsEntry | None, addr: int) -> tuple[object, ...] | None:
    """Return what an entry says of the page at addr, as if the entry reached that far."""
    if entry is None:
        return None
    place = entry.offset - entry.start + addr if entry.has_file else 0
    return entry.permissions, entry.device, entry.inode, entry.name, place
