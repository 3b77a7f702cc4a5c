"""Read a line of maps that may come from elsewhere, column by column from the left.

A column is accepted if it can mean only one thing. A difference from what Linux prints is recorded.
"""

import codecs
import re
from typing import NamedTuple, NoReturn

from untorn.maps.difference import MISSING_COLUMNS, Difference, FormatRule, NotMapsError
from untorn.maps.fields import Device, Permissions
from untorn.maps.page import ULONG_MAX

DIGITS = 8
"""The least number of digits of an address or offset."""
_DEVICE_DIGITS, _INODE_DIGITS = 2, 20
_MAJOR_BITS, _MINOR_BITS = 12, 20

UTF_16 = codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE
BLANK = rb"(?:[ \t]|\xc2\xa0)"
"""Whitespace between columns, including that of pasted text; a regular expression."""
_BLANKS = re.compile(BLANK + rb"*")
_LEAD = re.compile(rb"(?:>|" + BLANK + rb")*")
_ENDS = rb"(?=" + BLANK + rb"|\r*\Z)"
_NUMBER = re.compile(rb"(0[xX])?([0-9A-Fa-f]+)")
_HYPHEN = re.compile(BLANK + rb"*-" + BLANK + rb"*")
_PERMISSIONS = re.compile(rb"([r-][w-][x-])([psS-]?)" + _ENDS)
_OFFSET = re.compile(_NUMBER.pattern + _ENDS)
_DEVICE = re.compile(rb"([0-9A-Fa-f]+):([0-9A-Fa-f]+)" + _ENDS)
_INODE = re.compile(rb"(\d+)" + _ENDS)
_TOKEN = re.compile(rb"[^ \t\r]{1,20}")
_NO_LINES = {
    re.compile(rb"[A-Z]\w+:\s+\d+ kB\b|VmFlags:"): ("a line of smaps", FormatRule.ONE_LINE_A_VMA),
    re.compile(rb"[0-9a-f]+ (?:default|local|bind|prefer|interleave)"): (
        "a line of numa_maps",
        FormatRule.ONE_LINE_A_VMA,
    ),
    re.compile(rb"\s*\Z"): ("an empty line", FormatRule.ONE_LINE_A_VMA),
    re.compile(codecs.BOM_UTF8): ("the byte order mark of UTF-8", FormatRule.NO_MARK),
    re.compile(b"|".join(UTF_16)): ("UTF-16", FormatRule.ENCODING),
}
"""How lines begin that are not lines of maps, and what to report about them."""


class WrittenAddress(NamedTuple):
    """An address, its index in the line, and its digits."""

    value: int
    at: int
    digits: bytes


class Cursor:
    """A line without its newline, and an index into it.

    Args:
        line: The line. It ends with carriage returns only if they may be part of the name.
        name_column: The column where names are expected, from 0.
    """

    __slots__ = ("at", "differences", "ended", "line", "name_column")

    def __init__(self, line: bytes, name_column: int) -> None:
        self.line, self.name_column = line, name_column
        self.at = 0
        self.ended = False
        """Whether the line ended before its inode, and that was recorded."""
        self.differences: list[Difference] = []

    def differs(self, at: int, found: str, rule: FormatRule) -> None:
        """Record a difference at an index."""
        self.differences.append(Difference(at + 1, found, rule))

    def refuse(self, at: int, found: str, rule: FormatRule) -> NoReturn:
        """Raise NotMapsError for the text at an index, or for the whole line if it is known."""
        for pattern, other in _NO_LINES.items():
            if pattern.match(self.line):
                at, (found, rule) = 0, other
        raise NotMapsError(Difference(at + 1, found, rule))

    def _seen(self, at: int) -> str:
        """Return a word for the text at an index."""
        token = _TOKEN.match(self.line, at)
        if token:
            return repr(token.group())[1:]
        return _describe(self.line[at : at + 1]) if at < len(self.line) else "the end of the line"

    def lead(self) -> None:
        """Read what is before the address: indentation and quotation marks."""
        lead = _match(_LEAD, self.line, 0).group()
        if lead:
            self.differs(0, _describe(lead), FormatRule.START)
        self.at = len(lead)

    def address(self) -> WrittenAddress:
        """Read an address. Like all these methods, raise NotMapsError if there is none."""
        match = _NUMBER.match(self.line, self.at)
        if match is None:
            self.refuse(self.at, self._seen(self.at), FormatRule.ADDRESS)
        value = self._number(match, "an address", FormatRule.DIGITS, FormatRule.ZEROS)
        return WrittenAddress(value, match.start(), match[2])

    def _number(self, match: re.Match[bytes], what: str, few: FormatRule, zeros: FormatRule) -> int:
        """Read a hexadecimal number of eight digits or more."""
        base, digits = match.groups()
        at, self.at = match.start(), match.end()
        if base:
            self.differs(at, "0x", FormatRule.NO_BASE)
        if digits != digits.lower():
            self.differs(at, "upper-case digits", FormatRule.LOWER_CASE)
        found = f"{what} of {len(digits)} {'digit' if len(digits) == 1 else 'digits'}"
        if len(digits) < DIGITS:
            self.differs(at, found, few)
        elif len(digits) > DIGITS and digits.startswith(b"0"):
            self.differs(at, found, zeros)
        number = int(digits, 16)
        if number > ULONG_MAX:
            self.refuse(at, found, FormatRule.BITS)
        return number

    def hyphen(self) -> None:
        """Read the hyphen between the addresses."""
        match = _HYPHEN.match(self.line, self.at)
        if match is None:
            self.refuse(self.at, self._seen(self.at), FormatRule.HYPHEN)
        if match.group() != b"-":
            self.differs(self.at, "spaces around the hyphen", FormatRule.HYPHEN)
        self.at = match.end()

    def permissions(self) -> Permissions:
        """Read whitespace and the permissions. They count as private unless they say shared."""
        match = self._after_blanks(_PERMISSIONS)
        if match is None:
            at = _match(_BLANKS, self.line, self.at).end()
            self.refuse(
                at, self._seen(at), FormatRule.PERMISSIONS if at > self.at else FormatRule.BLANK
            )
        letters, sharing = match.groups()
        if sharing not in (b"p", b"s"):
            found = {b"": "nothing", b"-": "a hyphen"}.get(sharing, "a capital S")
            self.differs(match.start(2), found, FormatRule.SHARING)
        return Permissions.parse(letters + (b"s" if sharing in (b"s", b"S") else b"p"))

    def _after_blanks(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Read whitespace and a match of pattern. Return None and read nothing if none matches."""
        blanks = _match(_BLANKS, self.line, self.at)
        match = pattern.match(self.line, blanks.end()) if blanks.group() else None
        if match is not None:
            if blanks.group() != b" ":
                self.differs(self.at, _describe(blanks.group()), FormatRule.BLANK)
            self.at = match.end()
        return match

    def _column(
        self, pattern: re.Pattern[bytes], before: str, rule: FormatRule
    ) -> re.Match[bytes] | None:
        """Read a column, or record that it is missing; see _after_blanks()."""
        match = self._after_blanks(pattern)
        if match is None and not self.ended:
            at = _match(_BLANKS, self.line, self.at).end()
            self.ended = not self.line[at:].strip(b"\r")
            if self.ended:
                self.differs(self.at, f"the line ends after the {before}", rule)
            else:
                self.differs(at, self._seen(at), rule)
        return match

    def offset(self) -> int:
        """Read whitespace and the offset; 0 if it is missing."""
        match = self._column(_OFFSET, "permissions", FormatRule.OFFSET)
        if match is None:
            return 0
        return self._number(match, "an offset", FormatRule.OFFSET_DIGITS, FormatRule.OFFSET_ZEROS)

    def device(self) -> Device | None:
        """Read whitespace and the device; None if it is missing."""
        match = self._column(_DEVICE, "offset", FormatRule.DEVICE)
        if match is None:
            return None
        for digits in match.groups():
            if digits != digits.lower():
                self.differs(match.start(), "upper-case digits", FormatRule.LOWER_CASE)
            if len(digits) < _DEVICE_DIGITS:
                self.differs(match.start(), self._seen(match.start()), FormatRule.DEVICE_DIGITS)
            elif len(digits) > _DEVICE_DIGITS and digits.startswith(b"0"):
                self.differs(match.start(), self._seen(match.start()), FormatRule.DEVICE_ZEROS)
        major, minor = (int(digits, 16) for digits in match.groups())
        if major >> _MAJOR_BITS or minor >> _MINOR_BITS:
            self.refuse(match.start(), self._seen(match.start()), FormatRule.DEVICE_BITS)
        return Device(major, minor)

    def inode(self) -> int | None:
        """Read whitespace and the inode; None if it is missing."""
        match = self._column(_INODE, "device", FormatRule.INODE)
        if match is None:
            return None
        digits = match[1].lstrip(b"0") or b"0"
        if digits != match[1]:
            self.differs(match.start(), self._seen(match.start()), FormatRule.INODE_ZEROS)
        if len(digits) > _INODE_DIGITS or int(digits) > ULONG_MAX:
            self.refuse(match.start(), self._seen(match.start()), FormatRule.BITS)
        return int(digits)

    def name(self, *, has_inode: bool) -> bytes:
        """Read the rest. If there is no inode before it, a name must begin with / or [."""
        blanks = _match(_BLANKS, self.line, self.at)
        name, at = self.line[blanks.end() :], blanks.end()
        if name and not name.strip(b"\r"):
            self.differs(at, "a carriage return before the newline", FormatRule.NO_RETURN)
            name = b""
        if has_inode and name:
            self._check_name_column(blanks.group(), at)
        elif has_inode:
            self._check_end(blanks.group(), at)
        elif name and name[:1] not in b"/[":
            missing = next(each for each in self.differences if each.rule in MISSING_COLUMNS)
            self.refuse(missing.column - 1, missing.found, missing.rule)
        return name.replace(b"\\012", b"\n")

    def _check_name_column(self, blanks: bytes, at: int) -> None:
        if blanks.strip(b" "):
            self.differs(self.at, _describe(blanks), FormatRule.BLANK)
        elif at != max(self.name_column, self.at + 2):
            self.differs(at, "the name", FormatRule.NAME_COLUMN)

    def _check_end(self, blanks: bytes, at: int) -> None:
        if not blanks:
            self.differs(at, "the line ends after the inode", FormatRule.BLANK_AFTER_INODE)
        elif blanks != b" ":
            self.differs(self.at, f"{_describe(blanks)} at the end", FormatRule.NO_BLANKS_AT_END)


def _match(pattern: re.Pattern[bytes], line: bytes, at: int) -> re.Match[bytes]:
    """Return the match of a pattern that also matches the empty string."""
    match = pattern.match(line, at)
    assert match is not None
    return match


def _describe(blanks: bytes) -> str:
    """Describe this whitespace."""
    if blanks.strip(b" "):
        return "a tab" if blanks == b"\t" else repr(blanks)[1:]
    return "a space" if len(blanks) == 1 else f"{len(blanks)} spaces"
