"""A line of maps from elsewhere, and how much of it is taken: column by column, from the left.

Each column is taken if it can mean but one thing; how it differs from what Linux prints is noted.
"""

import codecs
import re
from typing import NamedTuple, NoReturn

from untorn.maps.difference import MISSING_COLUMNS, Difference, FormatRule, NotMapsError
from untorn.maps.fields import Device, Permissions
from untorn.maps.page import ULONG_MAX

DIGITS = 8
"""Of an address or offset at least."""
_DEVICE_DIGITS, _INODE_DIGITS = 2, 20
_MAJOR_BITS, _MINOR_BITS = 12, 20

UTF_16 = codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE
BLANK = rb"(?:[ \t]|\xc2\xa0)"
"""What stands between columns, if only in pasted text; a regular expression."""
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
"""What lines that are none begin with, and what to say of them."""


class WrittenAddress(NamedTuple):
    """An address, where it stands and how it is written."""

    value: int
    at: int
    digits: bytes


class Cursor:
    """A line without its newline, and an index into it.

    Args:
        line: With carriage returns at its end only if they may be part of the name.
        name_column: Where names are expected, from 0.
    """

    __slots__ = ("at", "differences", "ended", "line", "name_column")

    def __init__(self, line: bytes, name_column: int) -> None:
        self.line, self.name_column = line, name_column
        self.at = 0
        self.ended = False
        """Whether it ended before its inode, and that is told."""
        self.differences: list[Difference] = []

    def differs(self, at: int, found: str, rule: FormatRule) -> None:
        """Note what stands at an index."""
        self.differences.append(Difference(at + 1, found, rule))

    def refuse(self, at: int, found: str, rule: FormatRule) -> NoReturn:
        """Raise NotMapsError for what stands at an index, or for what the line is as a whole."""
        for pattern, other in _NO_LINES.items():
            if pattern.match(self.line):
                at, (found, rule) = 0, other
        raise NotMapsError(Difference(at + 1, found, rule))

    def _seen(self, at: int) -> str:
        """Tell what stands at an index, in a word."""
        token = _TOKEN.match(self.line, at)
        if token:
            return repr(token.group())[1:]
        return _told(self.line[at : at + 1]) if at < len(self.line) else "the end of the line"

    def lead(self) -> None:
        """Take what stands before the address: indentation, marks of quotation."""
        lead = _match(_LEAD, self.line, 0).group()
        if lead:
            self.differs(0, _told(lead), FormatRule.START)
        self.at = len(lead)

    def address(self) -> WrittenAddress:
        """Take an address. Raises NotMapsError as all of these do, if there is none."""
        match = _NUMBER.match(self.line, self.at)
        if match is None:
            self.refuse(self.at, self._seen(self.at), FormatRule.ADDRESS)
        value = self._number(match, "an address", FormatRule.DIGITS, FormatRule.ZEROS)
        return WrittenAddress(value, match.start(), match[2])

    def _number(self, match: re.Match[bytes], what: str, few: FormatRule, zeros: FormatRule) -> int:
        """Take a hexadecimal number of eight digits or more."""
        base, digits = match.groups()
        at, self.at = match.start(), match.end()
        if base:
            self.differs(at, "0x", FormatRule.NO_BASE)
        if digits != digits.lower():
            self.differs(at, "upper-case digits", FormatRule.LOWER_CASE)
        told = f"{what} of {len(digits)} {'digit' if len(digits) == 1 else 'digits'}"
        if len(digits) < DIGITS:
            self.differs(at, told, few)
        elif len(digits) > DIGITS and digits.startswith(b"0"):
            self.differs(at, told, zeros)
        number = int(digits, 16)
        if number > ULONG_MAX:
            self.refuse(at, told, FormatRule.BITS)
        return number

    def hyphen(self) -> None:
        """Take what stands between the addresses."""
        match = _HYPHEN.match(self.line, self.at)
        if match is None:
            self.refuse(self.at, self._seen(self.at), FormatRule.HYPHEN)
        if match.group() != b"-":
            self.differs(self.at, "blanks around the hyphen", FormatRule.HYPHEN)
        self.at = match.end()

    def permissions(self) -> Permissions:
        """Take blanks and the permissions; what is not told to be shared counts as private."""
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
        """Take blanks and what matches after them; None, and nothing is taken, if it does not."""
        blanks = _match(_BLANKS, self.line, self.at)
        match = pattern.match(self.line, blanks.end()) if blanks.group() else None
        if match is not None:
            if blanks.group() != b" ":
                self.differs(self.at, _told(blanks.group()), FormatRule.BLANK)
            self.at = match.end()
        return match

    def _column(
        self, pattern: re.Pattern[bytes], before: str, rule: FormatRule
    ) -> re.Match[bytes] | None:
        """Take a column, or note that it is missing: see _after_blanks()."""
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
        """Take blanks and the offset; 0 if that is missing."""
        match = self._column(_OFFSET, "permissions", FormatRule.OFFSET)
        if match is None:
            return 0
        return self._number(match, "an offset", FormatRule.OFFSET_DIGITS, FormatRule.OFFSET_ZEROS)

    def device(self) -> Device | None:
        """Take blanks and the device; None if that is missing."""
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
        """Take blanks and the inode; None if that is missing."""
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
        """Take the rest. Without an inode before it, a name must look like one: / or [."""
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
            self.differs(self.at, _told(blanks), FormatRule.BLANK)
        elif at != max(self.name_column, self.at + 2):
            self.differs(at, "the name", FormatRule.NAME_COLUMN)

    def _check_end(self, blanks: bytes, at: int) -> None:
        if not blanks:
            self.differs(at, "the line ends after the inode", FormatRule.BLANK_AFTER_INODE)
        elif blanks != b" ":
            self.differs(self.at, f"{_told(blanks)} at the end", FormatRule.NO_BLANKS_AT_END)


def _match(pattern: re.Pattern[bytes], line: bytes, at: int) -> re.Match[bytes]:
    """Return the match of what matches anywhere, if only nothing."""
    match = pattern.match(line, at)
    assert match is not None
    return match


def _told(blanks: bytes) -> str:
    """Tell what kind of space this is."""
    if blanks.strip(b" "):
        return "a tab" if blanks == b"\t" else repr(blanks)[1:]
    return "a blank" if len(blanks) == 1 else f"{len(blanks)} blanks"
