"""The lines of a maps file as columns: one array per field, one row per line."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from untorn.maps.entry import MapsEntry
from untorn.maps.fields import PERMISSIONS, Device

Numbers = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Arrays of equal length. Immutable.

    Attributes:
        start, end: Byte addresses, end exclusive.
        permissions: Bits of Permissions.
        offset: Bytes into the file; 0 without one.
        device: As st_dev of os.stat(); 0 without a file.
        inode: 0 without a file.
        name: Index into names.
        names: Each name once, with newlines unescaped.
    """

    start: Numbers
    end: Numbers
    permissions: npt.NDArray[np.uint8]
    offset: Numbers
    device: Numbers
    inode: Numbers
    name: npt.NDArray[np.int32]
    names: tuple[bytes, ...]

    @classmethod
    def of(cls, names: Iterable[bytes], **columns: npt.ArrayLike) -> Self:
        """Take the columns, converted to arrays where needed."""
        arrays = {field: np.asarray(columns[field], kind) for field, kind in _TYPES.items()}
        for array in arrays.values():
            array.setflags(write=False)
        return cls(names=tuple(names), **arrays)

    @classmethod
    def of_entries(cls, entries: Sequence[MapsEntry]) -> Self:
        """Make columns of one entry per row."""
        names: dict[bytes, int] = {}
        return cls.of(
            start=[entry.start for entry in entries],
            end=[entry.end for entry in entries],
            permissions=[entry.permissions for entry in entries],
            offset=[entry.offset for entry in entries],
            device=[entry.device.st_dev for entry in entries],
            inode=[entry.inode for entry in entries],
            name=[names.setdefault(entry.name, len(names)) for entry in entries],
            names=names,
        )

    @classmethod
    def join(cls, parts: Sequence["Columns"]) -> Self:
        """Concatenate columns; names that no row has are left out."""
        names: dict[bytes, int] = {}
        indexes = [part._used_names_among(names)[part.name] for part in parts]
        arrays = {
            field: np.concatenate([getattr(part, field) for part in parts]) for field in _TYPES
        }
        return cls.of(names, **arrays | {"name": np.concatenate(indexes)})

    def take(self, rows: Rows | slice) -> Self:
        """Return some of the rows; a slice copies nothing."""
        return self.of(self.names, **{field: getattr(self, field)[rows] for field in _TYPES})

    def replace(self, **columns: npt.ArrayLike) -> Self:
        """Return these columns with some replaced."""
        return self.of(self.names, **{field: getattr(self, field) for field in _TYPES} | columns)

    def names_among(self, names: dict[bytes, int]) -> npt.NDArray[np.int32]:
        """Return the index of each of our names in that dictionary; add those that it lacks."""
        indexes = [names.setdefault(name, len(names)) for name in self.names]
        return np.array(indexes, np.int32)

    def _used_names_among(self, names: dict[bytes, int]) -> npt.NDArray[np.int32]:
        """Return the same for the names that some row has; the index of others is meaningless."""
        indexes = np.zeros(len(self.names), np.int32)
        for index in np.flatnonzero(np.bincount(self.name)).tolist():
            indexes[index] = names.setdefault(self.names[index], len(names))
        return indexes

    def entry(self, row: int) -> MapsEntry:
        """Return one row as a record."""
        return MapsEntry(
            int(self.start[row]),
            int(self.end[row]),
            PERMISSIONS[self.permissions[row]],
            int(self.offset[row]),
            Device.of(int(self.device[row])),
            int(self.inode[row]),
            self.names[self.name[row]],
        )

    def __len__(self) -> int:
        return len(self.start)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Columns):
            return NotImplemented
        if self is other:
            return True
        if len(self) != len(other):
            return False
        names: dict[bytes, int] = {}
        ours, theirs = (each.names_among(names)[each.name] for each in (self, other))
        same = [np.array_equal(getattr(self, field), getattr(other, field)) for field in _EXACT]
        return all(same) and np.array_equal(ours, theirs)

    __hash__ = None  # type: ignore[assignment]


_TYPES: dict[str, Any] = {
    "start": np.uint64,
    "end": np.uint64,
    "permissions": np.uint8,
    "offset": np.uint64,
    "device": np.uint64,
    "inode": np.uint64,
    "name": np.int32,
}
_EXACT = [field.name for field in fields(Columns)][:6]


def first_descent(columns: Columns) -> int | None:
    """Return the first row whose end is not above the end before it, None if there is none."""
    backwards = columns.end[1:] <= columns.end[:-1]
    return int(backwards.argmax()) + 1 if backwards.any() else None


def resolve_overlaps(columns: Columns) -> tuple[Columns, int]:
    """Return the rows, each in its newest form without overlaps, and how many rows gave way.

    Since Linux 6.17 a map may change between two lines. A VMA that was shown and then grew, or was
    merged with what follows, is shown again in its new form. So a line may begin below the end of
    the line before it, but never end below it; the later line is the newer one. A row that a later
    one covers is dropped; a row that a later one overlaps is cut where that one begins.

    Raises:
        ValueError: A row ends at or below the end of the one before it; the message has its number.
    """
    start, end = columns.start, columns.end
    backwards = first_descent(columns)
    if backwards is not None:
        raise ValueError(f"line {backwards + 1} of the maps does not end above the one before")
    newer = np.flatnonzero(start[1:] < end[:-1]) + 1
    if not len(newer):
        return columns, 0
    kept, end = np.ones(len(columns), np.bool_), end.copy()
    gave_way = 0
    for row in newer.tolist():
        older = row - 1
        while older >= 0 and start[older] >= start[row]:
            gave_way += int(kept[older])
            kept[older] = False
            older -= 1
        if older >= 0 and kept[older] and end[older] > start[row]:
            end[older] = start[row]
            gave_way += 1
    return columns.replace(end=end).take(np.flatnonzero(kept)), gave_way
