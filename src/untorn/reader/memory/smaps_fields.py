"""Read the fields of many records of smaps into columns, one per field.

Records of one process nearly always have the same fields in the same places, so they are read
together: everything but the numbers must equal the first record, and each number is read from the
eight characters that end where it ends. A record that differs is read by itself.

Compare fs/proc/task_mmu.c:show_smap(), __show_smap(); fs/seq_file.c:seq_put_decimal_ull_width().
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from untorn.maps.smaps_lines import number_width

Masked = np.ma.MaskedArray[Any, np.dtype[np.uint64]]
"""Numbers; masked where there are none."""
_Words = npt.NDArray[np.uint64]
_Truths = npt.NDArray[np.bool_]

FIELD = re.compile(rb"^([A-Za-z]\w*): *(\d{1,15})( kB)?$", re.MULTILINE)
"""A line with a number: name, number, unit. 15 digits of kB still fit into 64 bits as bytes."""
SCALE = {b"": 1, b" kB": 1024}
"""Factor by unit: everything is in bytes, except fields without a unit."""
_FEW = 8
"""Records; fewer are read faster one by one."""
_BATCH = 512
"""Records read together; their data fit into the CPU's cache."""
_WORD = 8
"""The width in which the kernel prints a number; one with more digits takes more."""

Key = tuple[bytes, bytes]
"""The key of a column: a field's name and its unit; one name may occur with and without unit."""


def fields_of(lines: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Return name, number and unit of each field of a record: see SCALE.

    Args:
        lines: Its fields without VmFlags; the last line without its newline.

    Raises:
        ValueError: A line is not a field with a number, or a field occurs twice.
    """
    found: list[tuple[bytes, bytes, bytes]] = FIELD.findall(lines)
    if len({name for name, _, _ in found}) <= lines.count(b"\n"):
        raise ValueError("a line that is no field with a number, or a field that occurs twice")
    return found


def read_records(records: Sequence[bytes]) -> tuple[dict[str, Masked], dict[str, int]]:
    """Return each field as a column with one row per record, in bytes if the field has a unit.

    A field with a unit in some records counts as missing in records where it has none: the end of
    the line may be lost.

    Returns:
        The columns; and for fields without a unit, the least width of a number in characters.

    Raises:
        ValueError: As fields_of().
    """
    table = _Table(records)
    by_size: defaultdict[int, list[int]] = defaultdict(list)
    for row, lines in enumerate(records):
        by_size[len(lines)].append(row)
    by_size.pop(0, None)
    for rows in by_size.values():
        layout = _Layout.of(records[rows[0]]) if len(rows) >= _FEW else None
        for first in range(0, len(rows), _BATCH):
            batch = rows[first : first + _BATCH]
            table.read_one_by_one(table.read_alike(batch, layout) if layout else batch)
    return table.fields(), table.widths()


class _Layout(NamedTuple):
    """Where the numbers stand in records of one layout."""

    sample: npt.NDArray[np.uint8]
    """A record with this layout."""
    outside: npt.NDArray[np.uint8]
    """0xff where a record must equal the sample, 0 where a number may stand."""
    ends: dict[Key, int]
    """Where each number ends."""
    inside: _Words
    """For each number, 0xff for those of the eight bytes before its end that may be part of it."""

    @classmethod
    def of(cls, lines: bytes) -> "_Layout | None":
        """Return the layout of a record; None if a number does not fit into eight characters."""
        keys = [(name, unit) for name, _, unit in fields_of(lines)]
        fields = list(FIELD.finditer(lines))
        if any(each.end(2) < _WORD or len(each[2]) > _WORD for each in fields):
            return None
        outside = np.full(len(lines), 0xFF, np.uint8)
        inside = np.zeros((len(fields), _WORD), np.uint8)
        for field, bytes_inside in zip(fields, inside, strict=True):
            size = min(_WORD, field.end(2) - field.end(1) - 1)
            outside[field.end(2) - size : field.end(2)] = 0
            bytes_inside[_WORD - size :] = 0xFF
        ends = {key: field.end(2) for key, field in zip(keys, fields, strict=True)}
        return cls(np.frombuffer(lines, np.uint8), outside, ends, inside.view("<u8"))

    def read(self, text: bytes) -> tuple[_Words, _Truths]:
        """Read consecutive records of the sample's size.

        Returns:
            One row per field, one column per record; and which records have the layout. The numbers
            of other records are meaningless.
        """
        size = len(self.sample)
        records = np.frombuffer(text, np.uint8).reshape(-1, size)
        words = np.empty((len(self.ends), len(records)), np.uint64)
        for word, end in zip(words, self.ends.values(), strict=True):
            word[:] = np.ndarray(len(records), "<u8", text, end - _WORD, size)
        fits: _Truths = ~np.any((records ^ self.sample) & self.outside, axis=1)
        numbers, valid = decimals(words & self.inside | _BLANKS & ~self.inside)
        return numbers, fits & valid.all(axis=0)


class _Table:
    """The columns while they are filled."""

    def __init__(self, records: Sequence[bytes]) -> None:
        self._records = records
        self._columns: dict[Key, tuple[_Words, _Truths]] = {}  # numbers, and which are missing

    def _put(self, key: Key, rows: Any, numbers: Any) -> None:
        if key not in self._columns:
            count = len(self._records)
            self._columns[key] = np.zeros(count, np.uint64), np.ones(count, np.bool_)
        column, missing = self._columns[key]
        column[rows], missing[rows] = numbers, False

    def read_one_by_one(self, rows: Iterable[int]) -> None:
        for row in rows:
            for name, number, unit in fields_of(self._records[row]):
                self._put((name, unit), row, int(number) * SCALE[unit])

    def read_alike(self, rows: list[int], layout: _Layout) -> list[int]:
        """Read the records with a layout; return the rows that have another one."""
        numbers, fits = layout.read(b"".join([self._records[row] for row in rows]))
        places = np.array(rows)
        for key, column in zip(layout.ends, numbers, strict=True):
            self._put(key, places[fits], column[fits] * np.uint64(SCALE[key[1]]))
        left: list[int] = places[~fits].tolist()
        return left

    def fields(self) -> dict[str, Masked]:
        """Return the columns; those without a unit only for fields that never have one."""
        return {
            name.decode(): _masked(*column)
            for (name, unit), column in self._columns.items()
            if unit or self._is_plain(name)
        }

    def widths(self) -> dict[str, int]:
        """Return the widths of numbers without a unit, each from a record that has the field.

        The kernel pads them to eight characters; older kernels do not pad THPeligible.
        """
        return {
            name.decode(): _width(self._records[int(missing.argmin())], name)
            for (name, unit), (_, missing) in self._columns.items()
            if not unit and self._is_plain(name)
        }

    def _is_plain(self, name: bytes) -> bool:
        return (name, b" kB") not in self._columns


def _width(record: bytes, name: bytes) -> int:
    lines = (line for line in record.split(b"\n") if line.startswith(name + b":"))
    return number_width(next(lines))


def _masked(numbers: _Words, missing: _Truths) -> Masked:
    numbers.setflags(write=False)
    if missing.any():
        return np.ma.MaskedArray(numbers, missing)
    return numbers.view(np.ma.MaskedArray)


_ONES = np.uint64(0x0101_0101_0101_0101)
_BLANKS = _ONES * np.uint64(ord(" "))
_PAIRS = (
    (10, 8, 0x00FF_00FF_00FF_00FF),
    (100, 16, 0x0000_FFFF_0000_FFFF),
    (10_000, 32, 0xFFFF_FFFF),
)


def decimals(words: _Words) -> tuple[_Words, _Truths]:
    """Convert words of blanks and then digits; the first character is the least significant byte.

    A digit is 0x30 plus its value, a blank is 0x20. Two digits become one number in each pair of
    bytes, then two of these in four bytes, and then two of those.

    Returns:
        The numbers, and which words are valid; the numbers of others are meaningless.
    """
    values = words & _ONES * np.uint64(0x0F)
    written = words >> np.uint64(4) & _ONES  # 1 for a digit, 0 for a blank
    wrong = words ^ (_BLANKS | written << np.uint64(4) | values)
    wrong |= values + _ONES * np.uint64(6) & _ONES << np.uint64(4)  # above 9
    wrong |= values & ~(written * np.uint64(0x0F))  # neither a blank nor a digit: 0x21 to 0x2f
    wrong |= written << np.uint64(8) & ~written  # a blank after a digit
    valid: _Truths = (wrong == 0) & (written >> np.uint64(56) == 1)
    for ten, shift, mask in _PAIRS:
        values = values * np.uint64(ten) + (values >> np.uint64(shift)) & np.uint64(mask)
    return values, valid
