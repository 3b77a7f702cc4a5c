"""The lines of a text from elsewhere, in any encoding and with any line ends."""

import codecs
import re
from collections.abc import Iterator
from typing import NamedTuple

from untorn.maps.cursor import UTF_16
from untorn.maps.difference import Difference, FormatRule
from untorn.maps.fields import NAME_COLUMN, NARROW_NAME_COLUMN
from untorn.maps.scan import refusal

RETURN = "a carriage return before the newline"
_NAMELESS_WITH_RETURN = re.compile(
    rb"^[ \t]*[0-9A-Fa-fxX]+-[0-9A-Fa-fxX]+(?:[ \t]+[\w:-]+)+[ \t]*\r$", re.MULTILINE
)
"""A line of columns without a name, whose carriage return cannot belong to a name."""
_NAME = re.compile(
    rb"^([0-9a-f]{8}-[0-9a-f]{8} \S{4} [0-9a-f]{8} [0-9a-f:]+ \d+ +)[^ \r\n]", re.MULTILINE
)
_WIDE = re.compile(rb"^[0-9a-f]{9,}-", re.MULTILINE)


class Line(NamedTuple):
    """A line without its end."""

    number: int
    """From 1."""
    body: bytes
    differences: list[Difference]
    """Differences of its encoding and its end."""
    ended: bool
    """False for what follows the last newline."""


def lines_of(text: bytes) -> Iterator[Line]:
    """Yield the lines of a text. Raises ValueError if its encoding is broken."""
    text, marks = _decode(text)
    newline, found, rule = b"\n", RETURN, FormatRule.NO_RETURN
    if b"\n" not in text and b"\r" in text:
        newline, found, rule = b"\r", "a carriage return, and no newline", FormatRule.NEWLINES
    *bodies, rest = text.split(newline)
    returns = newline == b"\r" or ends_with_returns(text)
    for number, body in enumerate(bodies, 1):
        stripped = body.rstrip(b"\r") if returns else body
        ends = [Difference(len(stripped) + 1, found, rule)]
        differs = newline == b"\r" or stripped != body
        yield Line(number, stripped, marks * (number == 1) + ends * differs, True)
    if rest:
        end = Difference(len(rest) + 1, "the text ends without a newline", FormatRule.NEWLINE)
        yield Line(len(bodies) + 1, rest, marks * (not bodies) + [end], False)


def ends_with_returns(text: bytes) -> bool:
    """Return whether the lines of a text end with carriage return and newline, as on Windows.

    One name may end with a carriage return. They are line ends if all lines have one, or if one
    line has one but no name.
    """
    if b"\r\n" not in text:
        return False
    all_of_them = text.count(b"\r\n") == text.count(b"\n")
    return all_of_them or _NAMELESS_WITH_RETURN.search(text) is not None


def name_column(text: bytes) -> int:
    """Return the column, from 0, at which the kernel that printed the text puts names."""
    narrow = any(len(name[1]) == NARROW_NAME_COLUMN for name in _NAME.finditer(text))
    return NARROW_NAME_COLUMN if narrow and not _WIDE.search(text) else NAME_COLUMN


def _decode(text: bytes) -> tuple[bytes, list[Difference]]:
    """Return the text in UTF-8 without a byte order mark, and what was changed."""
    if text.startswith(codecs.BOM_UTF8):
        mark = Difference(1, "the byte order mark of UTF-8", FormatRule.NO_MARK)
        return text.removeprefix(codecs.BOM_UTF8), [mark]
    if not text.startswith(UTF_16):
        return text, []
    difference = Difference(1, "UTF-16", FormatRule.ENCODING)
    try:
        return text.decode("utf-16").encode(), [difference]
    except UnicodeError:
        raise refusal(1, text, difference) from None
