"""Texts of smaps from elsewhere: of other kernels, truncated, or changed by mails and editors.

The line of a range is read like one of a map from elsewhere. In fields, any blanks count as
Linux's; a field without a number counts as missing. In the line Name, Android's kernels gave the
name of anonymous memory before Linux had such names; it becomes the name of the range. A last line
without a newline is left out unless its unit shows that it is complete. All differences are
reported.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from untorn.maps.cursor import BLANK
from untorn.maps.difference import Difference, FormatRule
from untorn.maps.entry import MapsEntry
from untorn.maps.scan import refusal
from untorn.reader.memory.smaps_fields import FIELD
from untorn.reader.text.columns import Columns
from untorn.reader.text.from_text import LineReader
from untorn.reader.text.leniency import Leniency
from untorn.reader.text.text_lines import Line, lines_of, name_column

FLAGS = re.compile(rb"(?: \w\w)* ?")
"""The rest of a line "VmFlags:"."""
_FIELD_OR_FLAGS = re.compile(rb"VmFlags:" + FLAGS.pattern + rb"|" + FIELD.pattern)
_LABEL = re.compile(rb"([A-Za-z]\w*):")
_BLANKS = re.compile(BLANK + rb"+")
_SHOWN = 40
"""Bytes of a field to quote."""


class Records(NamedTuple):
    """A text of smaps taken apart."""

    columns: Columns
    """The lines of its ranges."""
    fields: list[bytes]
    """For each range its lines of numbers; the last one without its newline."""
    flags: Sequence[bytes | None]
    """For each range the rest of its line "VmFlags:"; None if it has no such line."""
    leniencies: tuple[Leniency, ...]


def read_text(text: bytes) -> Records:
    """Take a text apart. Raises ValueError as parse_smaps()."""
    reader = _Reader(name_column(text))
    for line in lines_of(text):
        reader.take(line)
    return reader.records()


class _Reader:
    """The lines read so far."""

    def __init__(self, column: int) -> None:
        self._ranges = LineReader(column)
        self._first: Line | None = None  # the line of the first range
        self._entries: list[MapsEntry] = []
        self._fields: list[list[bytes]] = []
        self._flags: list[bytes | None] = []
        self._names: set[bytes] = set()  # of fields since the last range

    def take(self, line: Line) -> None:
        """Read one more line. Raises ValueError if it cannot be read."""
        cleaned = _BLANKS.sub(b" ", line.body).lstrip(b"> ").rstrip(b" \r")
        label = _LABEL.match(cleaned)
        if not cleaned:
            self._tell(line, "an empty line", FormatRule.NO_EMPTY_LINE)
        elif self._entries and not line.ended and not (label and cleaned.endswith(b" kB")):
            self._tell(line)
        elif label:
            self._take_field(line, label[1], cleaned)
        else:
            self._take_range(line)

    def _tell(self, line: Line, found: str = "", rule: FormatRule | None = None) -> None:
        differences = [Difference(1, found, rule)] if rule else []
        self._ranges.leniencies.add(line.number, line.differences + differences)

    def _take_range(self, line: Line) -> None:
        entry = self._ranges.take(line)
        assert entry is not None  # the line is not empty
        self._first = self._first or line
        self._entries.append(entry)
        self._fields.append([])
        self._flags.append(None)
        self._names.clear()

    def _take_field(self, line: Line, name: bytes, cleaned: bytes) -> None:
        if not self._entries:
            raise _refusal(line, 1, _shown(line.body), FormatRule.RANGE_FIRST)
        if name in self._names:
            raise _refusal(line, 1, f"{name.decode()} once more", FormatRule.FIELD_ONCE)
        self._names.add(name)
        if _FIELD_OR_FLAGS.fullmatch(line.body):
            self._tell(line)
        else:
            self._tell(line, _shown(line.body), FormatRule.FIELD)
        value = cleaned[len(name) + 1 :]
        if name == b"VmFlags" and FLAGS.fullmatch(value):
            self._flags[-1] = value
        elif name == b"Name" and not self._entries[-1].name:
            self._entries[-1] = self._entries[-1]._replace(name=value.lstrip())
        elif FIELD.fullmatch(cleaned):
            self._fields[-1].append(cleaned)

    def records(self) -> Records:
        """Return what was read. Raises ValueError if no range has a field."""
        self._ranges.check_ends()
        if self._first and not any(self._fields):
            column = len(self._first.body) + 1
            raise _refusal(self._first, column, "no field after the line", FormatRule.FIELDS)
        fields = [b"\n".join(lines) for lines in self._fields]
        columns = Columns.of_entries(self._entries)
        return Records(columns, fields, self._flags, self._ranges.leniencies.told())


def _refusal(line: Line, column: int, found: str, rule: FormatRule) -> ValueError:
    return refusal(line.number, line.body, Difference(column, found, rule))


def _shown(field: bytes) -> str:
    return repr(field[:_SHOWN])[1:]
