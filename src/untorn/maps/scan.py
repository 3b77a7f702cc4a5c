"""Read a line of maps that may come from elsewhere, and list its differences from Linux's format.

This is the slow way, for lines that MapsEntry.parse() refuses. It says why they are refused. It
also reads what other kernels print, and what is left of Linux's text after it went through a mail,
a terminal or an editor. A line is accepted only if it can mean only one thing.
"""

from typing import NamedTuple

from untorn.maps.cursor import DIGITS, Cursor, WrittenAddress
from untorn.maps.difference import TAKEN_BY_STRICT, Difference, FormatRule, NotMapsError
from untorn.maps.fields import NAME_COLUMN, NO_DEVICE, Device, Permissions
from untorn.maps.page import PAGE_SIZE

_SHOWN = 240
"""How many bytes of a line an error shows."""


class Scanned(NamedTuple):
    """The fields of a line, and its differences."""

    fields: tuple[int, int, Permissions, int, Device, int, bytes]
    """The fields of MapsEntry."""
    differences: list[Difference]
    """The differences from left to right."""
    end_column: int
    """The column where the end address begins, from 1."""
    has_inode: bool
    """Whether the line has a device and an inode."""


def scan(line: bytes, name_column: int = NAME_COLUMN) -> Scanned:
    """Read a line without its newline.

    An empty range is returned, too; the caller may leave it out.

    Args:
        line: The line. It ends with carriage returns only if they may be part of the name.
        name_column: The column where names are expected, from 0.

    Raises:
        NotMapsError: It can mean nothing, or more than one thing.
    """
    return _scan(Cursor(line, name_column))


def first_difference(line: bytes) -> Difference:
    """Return the reason why MapsEntry.parse() refuses a line."""
    first, newline, more = line.partition(b"\n")
    cursor = Cursor(first, NAME_COLUMN)
    differences = cursor.differences
    try:
        _scan(cursor)
    except NotMapsError as error:
        differences.append(error.difference)
    if not newline:
        cursor.differs(len(line), "the text is cut off", FormatRule.NEWLINE)
    if more:
        cursor.differs(len(first), "more than one line", FormatRule.ONE_LINE_A_VMA)
    strange = [each for each in differences if each.rule not in TAKEN_BY_STRICT]
    return min(strange or differences, key=lambda each: each.column)


def refusal(number: int, line: bytes, difference: Difference) -> ValueError:
    """Return an error with the line number (from 1), the difference, and the line."""
    shown = line if len(line) <= _SHOWN else line[:_SHOWN] + b"..."
    return ValueError(f"line {number}, {difference}: {shown!r}")


def _scan(cursor: Cursor) -> Scanned:
    cursor.lead()
    start = cursor.address()
    cursor.hyphen()
    end = cursor.address()
    permissions = cursor.permissions()
    offset = cursor.offset()
    device = cursor.device()
    inode = cursor.inode() if device is not None else None
    name = cursor.name(has_inode=inode is not None)
    _check_beginning(cursor, start, end)
    _check_range(cursor, start, end)
    cursor.differences.sort(key=lambda each: each.column)
    fields = start.value, end.value, permissions, offset, device or NO_DEVICE, inode or 0, name
    return Scanned(fields, cursor.differences, end.at + 1, inode is not None)


def _check_beginning(cursor: Cursor, start: WrittenAddress, end: WrittenAddress) -> None:
    """Refuse a line that seems to be cut off at its beginning: 000-7f0000001000 and so on."""
    few = len(start.digits) < min(DIGITS, len(end.digits))
    zeros = start.digits.startswith(b"0") and start.digits != b"0"
    if few and (zeros or len(end.digits) > DIGITS):
        found = f"{start.digits.decode()}, whose beginning seems to be cut off"
        cursor.refuse(start.at, found, FormatRule.DIGITS)


def _check_range(cursor: Cursor, start: WrittenAddress, end: WrittenAddress) -> None:
    if start.value == end.value == 0:
        cursor.differs(start.at, "a hidden range, all zeros", FormatRule.NOT_HIDDEN)
    elif start.value == end.value:
        cursor.differs(end.at, "an empty range, which ends where it begins", FormatRule.NOT_EMPTY)
    elif start.value > end.value:
        found = f"{end.value:08x}, which is below {start.value:08x}"
        cursor.refuse(end.at, found, FormatRule.NOT_BACKWARDS)
    elif cursor.differences and not start.value % PAGE_SIZE and not (end.value + 1) % PAGE_SIZE:
        cursor.refuse(end.at, f"{end.value:08x}, the last byte of a page", FormatRule.EXCLUSIVE_END)
