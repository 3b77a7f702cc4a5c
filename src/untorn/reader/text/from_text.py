"""Maps from elsewhere: output of other kernels, and what mails, terminals and editors leave.

A line that Linux would not print is accepted if it can mean only one thing, and the difference is
reported. What may be the rest of a truncated line is refused: a line that ends early where others
do not, or that has the inode of a file but no name where others have one. So is a name that
continues with the columns of another line.
"""

import re

from untorn.maps.difference import MISSING_COLUMNS, Difference, FormatRule, NotMapsError
from untorn.maps.entry import MapsEntry
from untorn.maps.scan import Scanned, refusal, scan
from untorn.reader.text.columns import Columns, first_descent
from untorn.reader.text.leniency import Leniencies, Leniency
from untorn.reader.text.text_lines import RETURN, Line, ends_with_returns, lines_of, name_column

_NOTHING = b" \t\r>"
"""Bytes that a line may have and still count as empty."""

_BLANK_RULES = {FormatRule.BLANK_AFTER_INODE, FormatRule.NO_BLANKS_AT_END}
_JOINED = re.compile(rb" [r-][w-][x-][ps] [0-9a-f]{8,16} [0-9a-f]+:[0-9a-f]+ \d+( |\Z)")
"""No name has this, but a line that was joined with the next one does."""


def read_text(text: bytes) -> tuple[list[MapsEntry], tuple[Leniency, ...]]:
    """Return the ranges of a text, without empty ones, and what differs from Linux.

    Raises:
        ValueError: As Snapshot.parse().
    """
    reader = LineReader(name_column(text))
    for line in lines_of(text):
        reader.take(line)
    reader.check_ends()
    return reader.entries, reader.leniencies.told()


def check_text(text: bytes, columns: Columns) -> None:
    """Refuse lines of maps that are not in order, or that all end with carriage returns.

    Raises:
        ValueError: As Snapshot.parse().
    """
    if ends_with_returns(text):
        first = text.partition(b"\n")[0]
        raise refusal(1, first, Difference(len(first), RETURN, FormatRule.NO_RETURN))
    row = first_descent(columns)
    if row is not None:
        line = text.split(b"\n", row + 1)[row]
        column = line.index(b"-") + 2
        raise _descent(row + 1, line, column, int(columns.end[row]), int(columns.end[row - 1]))


def _descent(number: int, line: bytes, column: int, end: int, before: int) -> ValueError:
    found = f"{end:08x}, not above the end of the range before it, {before:08x}"
    return refusal(number, line, Difference(column, found, FormatRule.ASCENDING))


class LineReader:
    """The lines read so far.

    Args:
        column: Column at which names are expected, from 0: see name_column().

    Attributes:
        entries: Their ranges, without empty ones.
        leniencies: What differs from Linux.
    """

    def __init__(self, column: int) -> None:
        self.entries: list[MapsEntry] = []
        self.leniencies = Leniencies()
        self._name_column = column
        self._early: list[tuple[Line, Difference]] = []  # lines that end before their inode
        self._nameless: list[tuple[Line, Difference]] = []  # of files, but end after their inode
        self._has_inodes = self._has_files = False

    def take(self, line: Line) -> MapsEntry | None:
        """Read one more line; return its range, None if it is empty. Raises ValueError."""
        if not line.body.strip(_NOTHING):
            empty = Difference(1, "an empty line", FormatRule.ONE_LINE_A_VMA)
            self.leniencies.add(line.number, [*line.differences, empty])
            return None
        try:
            scanned = scan(line.body, self._name_column)
        except NotMapsError as error:
            raise refusal(line.number, line.body, error.difference) from None
        entry = MapsEntry(*scanned.fields)
        joined = _JOINED.search(entry.name)
        if joined is not None:
            at = line.body.rfind(joined.group())
            difference = Difference(
                at + 1, "the columns of another line", FormatRule.ONE_LINE_A_VMA
            )
            raise refusal(line.number, line.body, difference)
        self.leniencies.add(line.number, line.differences + scanned.differences)
        self._note_end(line, entry, scanned)
        if entry.size:
            self._add(line, entry, scanned.end_column)
        return entry

    def _add(self, line: Line, entry: MapsEntry, end_column: int) -> None:
        if self.entries and entry.end <= self.entries[-1].end:
            before = self.entries[-1].end
            raise _descent(line.number, line.body, end_column, entry.end, before)
        self.entries.append(entry)

    def _note_end(self, line: Line, entry: MapsEntry, scanned: Scanned) -> None:
        """Record a line that may be truncated, and what the other lines have."""
        rules = {each.rule for each in scanned.differences}
        self._has_inodes |= scanned.has_inode
        self._has_files |= bool(entry.inode and entry.name)
        if not scanned.has_inode and not entry.name:
            end = next(each for each in scanned.differences if each.rule in MISSING_COLUMNS)
            self._early.append((line, end))
        elif entry.inode and not entry.name and (not line.ended or _BLANK_RULES & rules):
            end = Difference(len(line.body) + 1, "the line ends after the inode", FormatRule.NAME)
            self._nameless.append((line, end))

    def check_ends(self) -> None:
        """Refuse the first line that seems truncated. Raises ValueError."""
        shapes = {end.rule for _, end in self._early}
        if self._has_inodes or len(shapes) > 1 or _only_the_last(self._early):
            _refuse_first(self._early)
        if self._has_files or _only_the_last(self._nameless):
            _refuse_first(self._nameless)


def _only_the_last(doubtful: list[tuple[Line, Difference]]) -> bool:
    return len(doubtful) == 1 and not doubtful[0][0].ended


def _refuse_first(doubtful: list[tuple[Line, Difference]]) -> None:
    for line, end in doubtful[:1]:
        raise refusal(line.number, line.body, end)
