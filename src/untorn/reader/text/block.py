"""Many lines at a time, read into columns.

Lines whose addresses have the same number of digits have their fields in the same places, so they
are read together, whole columns at a time. What follows the offset is looked up: see
line_endings.py. A line that does not fit is left to MapsEntry.parse(), whose answer, or refusal,
is the definition of this one's.
"""

import numpy as np
import numpy.typing as npt

from untorn.maps.entry import MapsEntry
from untorn.maps.fields import LETTERS
from untorn.reader.text.hex_field import FIELD_MAX, Positions, Truths, gather, hex_field
from untorn.reader.text.line_endings import LineEndings

_FEW = 64
"""Lines; so few are read faster one by one."""
_WIDTHS = (12, *range(8, 12), *range(13, FIELD_MAX + 1))
"""Digits of an address, the usual number first."""
_PLAIN = b"00000000 00:00 0 "
"""What follows the permissions of anonymous memory without a name."""
_PLAIN_WORDS = np.frombuffer(_PLAIN, np.uint64, 2)
_LETTERS = np.array([int.from_bytes(each, "little") for each in LETTERS], np.uint32)


def read_line(number: int, line: bytes) -> MapsEntry:
    """Return what a line says. Raises ValueError as Block."""
    try:
        return MapsEntry.parse(line)
    except ValueError:
        from untorn.maps.scan import first_difference, refusal

        raise refusal(number, line, first_difference(line)) from None


class Block:
    """The lines of a text as columns.

    Args:
        text: Whole lines.
        first: The number of the first of them, for errors.
        endings: What lines end with, for all blocks; the column ending has its rows.

    Raises:
        ValueError: A line is cut off or not one of maps; the message has its number and the
            reason.
    """

    def __init__(self, text: bytes, first: int, endings: LineEndings) -> None:
        self.text, self.first, self.endings = text, first, endings
        self.bytes = np.frombuffer(text, np.uint8)
        self.newline = np.flatnonzero(self.bytes == ord("\n"))
        count = len(self.newline)
        self.at = np.concatenate(([0], self.newline + 1))[:count]
        self.left = np.ones(count, np.bool_)  # which rows still are to be read
        self.start, self.end, self.offset = np.zeros((3, count), np.uint64)
        self.permissions = np.zeros(count, np.uint8)
        self.ending = np.zeros(count, np.intp)
        for width in _WIDTHS:
            if np.count_nonzero(self.left) >= _FEW:
                self._read_group(width)
        self._read_rest()

    def __len__(self) -> int:
        return len(self.at)

    def _read_group(self, width: int) -> None:
        """Read the lines whose addresses have width digits."""
        size = 2 * width + len("- rwxp ")
        rows = np.flatnonzero(self.left & (self.newline - self.at >= size + len(_PLAIN)))
        rows = rows[self.bytes[self.at[rows] + width] == ord("-")]
        at = self.at[rows]
        start, fits = hex_field(self.text, at, width)
        end, end_fits = hex_field(self.text, at + (width + 1), width)
        permissions, fit = _permissions(self.text, at + (2 * width + 2))
        fits &= end_fits & fit & (start < end)
        fits &= (self.bytes[at + (2 * width + 1)] == ord(" ")) & (
            self.bytes[at + (size - 1)] == ord(" ")
        )
        self.start[rows], self.end[rows], self.permissions[rows] = start, end, permissions
        plain = fits & self._is_plain(at + size, self.newline[rows])
        self.left[rows[plain]] = False
        others = rows[fits & ~plain]
        for digits in range(8, FIELD_MAX + 1):
            if len(others):
                others = self._read_offsets(others, size, digits)

    def _is_plain(self, at: Positions, newline: Positions) -> Truths:
        words = gather(self.text, at, 16).view(np.uint64).reshape(-1, 2)
        same: Truths = (words[:, 0] == _PLAIN_WORDS[0]) & (words[:, 1] == _PLAIN_WORDS[1])
        same &= (self.bytes[at + 16] == ord(" ")) & (newline == at + len(_PLAIN))
        return same

    def _read_offsets(self, rows: Positions, size: int, digits: int) -> Positions:
        """Read what follows the permissions where the offset has so many digits.

        Returns:
            The rows where it has not.
        """
        after = self.at[rows] + (size + digits)
        here = self.bytes[after] == ord(" ")
        if not here.any():
            return rows
        mine = rows[here]
        offset, fits = hex_field(self.text, self.at[mine] + size, digits)
        ending = self.endings.rows(self.text, after[here] + 1, self.newline[mine])
        fits &= ending >= 0
        self.offset[mine], self.ending[mine] = offset, ending
        self.left[mine[fits]] = False
        rest: Positions = rows[~here]
        return rest

    def _read_rest(self) -> None:
        """Read one by one what is left."""
        for row in np.flatnonzero(self.left).tolist():
            entry = read_line(self.first + row, self.text[self.at[row] : self.newline[row] + 1])
            self.start[row], self.end[row], self.offset[row] = entry.start, entry.end, entry.offset
            self.permissions[row] = entry.permissions
            self.ending[row] = self.endings.add(entry.device, entry.inode, entry.name)
        if rest := self.text[self.text.rfind(b"\n") + 1 :]:
            read_line(self.first + len(self), rest)


def _permissions(text: bytes, at: Positions) -> tuple[npt.NDArray[np.uint8], Truths]:
    """Return the permissions at each position as bits, and whether they are such.

    Bit 6 tells r, w and x from a hyphen, bit 0 tells s from p.
    """
    words = gather(text, at, 4).view("<u4")
    bits = words >> 6 & 1 | words >> 13 & 2 | words >> 20 & 4 | words >> 21 & 8
    return bits.astype(np.uint8), _LETTERS[bits] == words
