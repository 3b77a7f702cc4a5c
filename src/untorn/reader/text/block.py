"""Read many lines at a time into columns.

Lines whose addresses have the same number of digits have their fields in the same places, so they
are read together, whole columns at a time. What follows the offset is looked up: see
line_endings.py. A line that does not fit is left to MapsEntry.parse(), whose result, or refusal,
defines what this module must return.
"""

from functools import cache
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from untorn.maps.entry import MapsEntry
from untorn.maps.fields import LETTERS
from untorn.reader.text.hex_field import (
    FIELD_MAX,
    Fields,
    Numbers,
    Positions,
    Truths,
    gather,
    hex_numbers,
)
from untorn.reader.text.line_endings import LineEndings

_FEW = 64
"""Lines; so few are read faster one by one."""
_WIDTHS = (12, *range(8, 12), *range(13, FIELD_MAX + 1))
"""Digits of an address, the usual number first."""
_PLAIN = b"00000000 00:00 0 "
"""What follows the permissions of anonymous memory without a name."""
_PLAIN_WORDS = np.frombuffer(_PLAIN, np.uint64, 2)
_LETTERS = np.array([int.from_bytes(each, "little") for each in LETTERS], np.uint32)


def read_lines(text: bytes, first: int) -> list[MapsEntry]:
    """Return one entry per line, read one by one. Raises ValueError as Block."""
    lines = text.split(b"\n")
    last = lines.pop()
    entries = [read_line(number, line + b"\n") for number, line in enumerate(lines, first)]
    if last:
        read_line(first + len(lines), last)
    return entries


def read_line(number: int, line: bytes) -> MapsEntry:
    """Parse a line. Raises ValueError as Block."""
    try:
        return MapsEntry.parse(line)
    except ValueError:
        from untorn.maps.scan import first_difference, refusal

        raise refusal(number, line, first_difference(line)) from None


def _offset_at(width: int) -> int:
    """Return where the offset begins."""
    return 2 * width + len("- rwxp ")


@cache
def _head(width: int) -> np.dtype[np.void]:
    """Return the layout of the start of a line whose addresses have width digits.

    A plain line is exactly this long plus its newline, and no line is shorter.
    """
    after = _offset_at(width)
    fields = {
        "start": (f"V{width}", 0),
        "end": (f"V{width}", width + 1),
        "blank": ("u1", after - 6),
        "permissions": ("<u4", after - 5),
        "next_blank": ("u1", after - 1),
        "plain": ("u8", after),
        "plain_too": ("u8", after + 8),
        "last_blank": ("u1", after + 16),
    }
    formats, offsets = zip(*fields.values(), strict=True)
    return np.dtype(
        {
            "names": list(fields),
            "formats": formats,
            "offsets": offsets,
            "itemsize": after + len(_PLAIN),
        }
    )


class Table(NamedTuple):
    """Columns of equal length, filled block by block."""

    start: Numbers
    end: Numbers
    offset: Numbers
    permissions: npt.NDArray[np.uint8]
    ending: npt.NDArray[np.int32]
    """Rows of LineEndings."""

    @classmethod
    def empty(cls, count: int) -> Self:
        """Return room for count rows; pages that are never written take no memory."""
        start, end, offset = np.empty((3, count), np.uint64)
        return cls(start, end, offset, np.empty(count, np.uint8), np.empty(count, np.int32))

    def rows(self, begin: int, end: int) -> "Table":
        """Return the same room for some of the rows."""
        return Table(
            self.start[begin:end],
            self.end[begin:end],
            self.offset[begin:end],
            self.permissions[begin:end],
            self.ending[begin:end],
        )


class Block:
    """The lines of a text, read into columns.

    Args:
        text: Whole lines.
        first: The number of its first line, for errors.
        endings: The line endings, shared by all blocks; the column ending has their rows.
        room: Where to put the columns. If they do not fit, some line is too short to be valid.

    Raises:
        ValueError: A line is truncated or not one of maps; the message has its number and the
            reason.
    """

    def __init__(self, text: bytes, first: int, endings: LineEndings, room: Table) -> None:
        self.text, self.first, self.endings = text, first, endings
        self.bytes = np.frombuffer(text, np.uint8)
        self.newline = np.flatnonzero(self.bytes == ord("\n"))
        self.at = np.concatenate(([0], self.newline + 1))[:-1]
        self.length = self.newline - self.at
        self.left = np.ones(len(self), np.bool_)  # which rows still must be read
        if len(self) > len(room.start):
            read_lines(text, first)  # which finds that line
        self.start, self.end, self.offset, self.permissions, self.ending = room.rows(0, len(self))
        self.offset[:], self.ending[:] = 0, 0
        for width in _WIDTHS:
            if np.count_nonzero(self.left) >= _FEW and len(rows := self._rows_of(width)):
                # Indexing by a slice copies nothing.
                self._read_group(width, rows if len(rows) < len(self) else slice(None))
        self._read_rest()

    def __len__(self) -> int:
        return len(self.newline)

    def _rows_of(self, width: int) -> Positions:
        """Return the remaining rows that are long enough and have a hyphen after width bytes."""
        rows = np.flatnonzero(self.left & (self.length >= _head(width).itemsize))
        like: Positions = rows[self.bytes[self.at[rows] + width] == ord("-")]
        return like

    def _read_group(self, width: int, rows: Positions | slice) -> None:
        """Read the lines whose addresses have width digits."""
        head = _head(width)
        heads = gather(self.text, self.at[rows], head.itemsize).view(head)
        numbers, valid = hex_numbers(np.concatenate([heads["start"], heads["end"]]))
        start, end = numbers.reshape(2, -1)
        permissions, fits = _permissions(heads["permissions"])
        fits &= valid.reshape(2, -1).all(axis=0) & (start < end)
        fits &= (heads["blank"] == ord(" ")) & (heads["next_blank"] == ord(" "))
        self.start[rows], self.end[rows], self.permissions[rows] = start, end, permissions
        plain = fits & _are_plain(heads) & (self.length[rows] == head.itemsize)
        self.left[rows] = ~plain
        others = np.arange(len(self))[rows][fits & ~plain]
        for digits in range(8, FIELD_MAX + 1):
            if len(others):
                others = self._read_offsets(others, _offset_at(width), digits)

    def _read_offsets(self, rows: Positions, after: int, digits: int) -> Positions:
        """Read what follows the permissions, where the offset has that many digits.

        Returns:
            The rows where it does not.
        """
        blank = self.at[rows] + (after + digits)
        here = self.bytes[blank] == ord(" ")
        if not here.any():
            return rows
        mine = rows[here]
        offset, fits = hex_numbers(gather(self.text, self.at[mine] + after, digits))
        ending = self.endings.rows(self.text, blank[here] + 1, self.newline[mine])
        self.offset[mine], self.ending[mine] = offset, ending
        self.left[mine[fits & (ending >= 0)]] = False
        rest: Positions = rows[~here]
        return rest

    def _read_rest(self) -> None:
        """Read the remaining lines one by one."""
        for row in np.flatnonzero(self.left).tolist():
            entry = read_line(self.first + row, self.text[self.at[row] : self.newline[row] + 1])
            self.start[row], self.end[row], self.offset[row] = entry.start, entry.end, entry.offset
            self.permissions[row] = entry.permissions
            self.ending[row] = self.endings.add(entry.device, entry.inode, entry.name)
        if rest := self.text[self.text.rfind(b"\n") + 1 :]:
            read_line(self.first + len(self), rest)


def _are_plain(heads: Fields) -> Truths:
    """Return which lines are anonymous memory without a name."""
    plain: Truths = heads["plain"] == _PLAIN_WORDS[0]
    plain &= heads["plain_too"] == _PLAIN_WORDS[1]
    plain &= heads["last_blank"] == ord(" ")
    return plain


def _permissions(letters: npt.NDArray[np.uint32]) -> tuple[npt.NDArray[np.uint8], Truths]:
    """Return permissions as bits, and whether the letters are valid.

    Bit 6 distinguishes r, w and x from a hyphen, bit 0 distinguishes s from p.
    """
    words = letters.astype(np.uint32)
    bits = words >> 6 & 1 | words >> 13 & 2 | words >> 20 & 4 | words >> 21 & 8
    return bits.astype(np.uint8), _LETTERS[bits] == words
