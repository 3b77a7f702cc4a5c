"""Scan a line column by column: it agrees with the parser, and finds the differences from Linux."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.helpers.entries import record
from tests.helpers.maps_texts import lines
from untorn.maps.difference import TAKEN_BY_STRICT, NotMapsError
from untorn.maps.entry import MapsEntry
from untorn.maps.fields import NAME_COLUMN, NARROW_NAME_COLUMN
from untorn.maps.scan import first_difference, scan

LINE = b"7f0000000000-7f0000001000 rw-p 00000000 00:00 0 "
FILE = b"7f0000000000-7f0000001000 r-xp 00001000 fd:00 12" + b" " * 25 + b"/lib/x.so"
NARROW = b"b7e07000-b7fab000 r-xp 00000000 08:01 265350     /lib/libc.so"


LONGER_THAN_ANY_NUMBER = re.compile(
    rb"(?<![0-9a-f])(?:[0-9a-f]{17,}|[0-9a-f]{4,}(?=:)|(?<=:)[0-9a-f]{6,}|\d{21,})"
)
"""So many zeros before a number that strict parsing refuses it."""


def damaged(draw: st.DrawFn, line: bytes) -> bytes:
    """Return the line with a few bytes changed, inserted or left out."""
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, max(len(line) - 1, 0)))
        put = draw(st.sampled_from([b"", *(bytes([byte]) for byte in b"0aAgpsSrwx- :\t\rx>/[")]))
        line = line[:at] + put + line[at + draw(st.integers(0, 2)) :]
    return line


@st.composite
def damaged_lines(draw: st.DrawFn) -> bytes:
    return damaged(draw, draw(st.one_of(lines().map(lambda line: line[:-1]), st.just(NARROW))))


@given(damaged_lines())
@example(b"00000000-00001000 ---p 100001000 0fff:00 0 ")
@example(b"00000000-00001000 ---p 00000000000000000 00:00 0 ")
@example(b"00000000-00001000 ---p 00000000 00:000000 0 ")
@example(b"00000000-00001000 ---p 00000000 00:00 000000000000000000000 ")
def test_a_line_that_the_parser_accepts_is_scanned_alike_and_others_differ(line: bytes) -> None:
    try:
        entry = MapsEntry.parse(line + b"\n")
    except ValueError:
        refused = first_difference(line + b"\n").rule not in TAKEN_BY_STRICT
        assert refused or LONGER_THAN_ANY_NUMBER.search(line) or b"\n" in line
        return
    if entry.name.startswith((b"\t", b"\xc2\xa0")):
        return  # the kernel gives no such names
    if entry.end % 4096 == 4095:
        return  # may be refused: see test_an_end_that_is_the_last_byte_is_refused
    scanned = scan(line)
    assert MapsEntry(*scanned.fields) == entry
    assert {each.rule for each in scanned.differences} <= TAKEN_BY_STRICT


@given(damaged_lines())
def test_a_line_has_no_difference_exactly_if_linux_prints_it(line: bytes) -> None:
    try:
        scanned = scan(line)
    except NotMapsError:
        return
    assert (not scanned.differences) == (MapsEntry(*scanned.fields).line() == line + b"\n")


@given(lines(), st.integers(0, 200))
def test_columns_of_differences_are_in_the_line_and_ascend(line: bytes, cut: int) -> None:
    try:
        columns = [each.column for each in scan(line[:cut]).differences]
    except NotMapsError as error:
        columns = [error.difference.column]
    assert columns == sorted(columns)
    assert all(1 <= column <= len(line[:cut]) + 1 for column in columns)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            b"0040-00f0" + LINE[25:],
            "column 1: an address of 4 digits; Linux prints at least 8 (%08x)",
        ),
        (b"00" + LINE, "column 1: an address of 14 digits; Linux prints 8 digits, and more only"),
        (LINE.replace(b"7f", b"7F", 1), "column 1: upper-case digits; Linux prints lower-case"),
        (b"0x" + LINE, "column 1: 0x; Linux prints no 0x before a number"),
        (b"  " + LINE, "column 1: 2 spaces; Linux prints the address in column 1"),
        (b"> " + LINE, "column 1: '> '; Linux prints the address in column 1"),
        (LINE.replace(b" rw", b"\trw"), "column 26: a tab; Linux prints one space"),
        (LINE.replace(b" rw", b"  rw"), "column 26: 2 spaces; Linux prints one space"),
        (LINE.replace(b" rw", b"\xc2\xa0rw"), "column 26: '\\xc2\\xa0'; Linux prints one space"),
        (LINE.replace(b"rw-p", b"rw--"), "column 30: a hyphen; Linux prints p (private) or s"),
        (LINE.replace(b"rw-p", b"rw-"), "column 30: nothing; Linux prints p (private) or s"),
        (LINE.replace(b"rw-p", b"rw-S"), "column 30: a capital S; Linux prints p (private) or s"),
        (LINE.replace(b"00000000 ", b"0 "), "column 32: an offset of 1 digit; Linux prints 8"),
        (LINE.replace(b"00000000 ", b"0" * 16 + b" "), "column 32: an offset of 16 digits"),
        (LINE.replace(b"00:00", b"0:0"), "column 41: '0:0'; Linux prints at least 2 digits each"),
        (LINE.replace(b"00:00", b"FD:00"), "column 41: upper-case digits; Linux prints"),
        (LINE[:30], "column 31: the line ends after the permissions; Linux prints the offset"),
        (LINE[:39], "column 40: the line ends after the offset; Linux prints the device"),
        (LINE[:45], "column 46: the line ends after the device; Linux prints the inode"),
        (LINE[:47], "column 48: the line ends after the inode; Linux prints a space there"),
        (LINE + b"  ", "column 48: 3 spaces at the end; Linux prints one space after the inode"),
        (LINE + b"\r", "column 49: a carriage return before the newline; Linux prints none"),
        (FILE.replace(b" " * 25, b" "), "column 50: the name; Linux prints names in column 74"),
        (FILE.replace(b" " * 25, b"\t"), "column 49: a tab; Linux prints one space between"),
    ],
)
def test_a_difference_is_told_with_its_column_and_what_linux_prints(line: bytes, told: str) -> None:
    assert str(scan(line).differences[0]).startswith(told)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"hello", "column 1: 'hello'; Linux prints an address (%08x)"),
        (b"", "column 1: an empty line; Linux prints one line for each VMA, and nothing else"),
        (b"Size:        4 kB", "column 1: a line of smaps; Linux prints one line for each VMA"),
        (b"VmFlags: rd mr", "column 1: a line of smaps; Linux prints one line for each VMA"),
        (b"00400000 default file=/x", "column 1: a line of numa_maps; Linux prints one line"),
        (b"\xef\xbb\xbf" + LINE, "column 1: the byte order mark of UTF-8; Linux prints no byte"),
        (LINE.replace(b"-", b"+", 1), "column 13: '+7f0000001000'; Linux prints one hyphen"),
        (LINE[:13], "column 14: the end of the line; Linux prints an address (%08x)"),
        (
            b"1" * 17 + LINE[12:],
            "column 1: an address of 17 digits; Linux prints numbers of at most 64",
        ),
        (LINE.replace(b"7f0000001", b"7effffff1"), "column 14: 7effffff1000, which is below 7f0"),
        (LINE.replace(b"rw-p", b"wr-p"), "column 27: 'wr-p'; Linux prints r or -, w or -, x or -"),
        (LINE.replace(b" rw-p", b"rw-p"), "column 26: 'rw-p'; Linux prints one space between"),
        (LINE.replace(b"00000000 ", b"0000000g "), "column 32: '0000000g'; Linux prints the offs"),
        (LINE.replace(b"00:00", b"0g:00"), "column 41: '0g:00'; Linux prints the device there"),
        (
            LINE.replace(b"00:00", b"1000:00"),
            "column 41: '1000:00'; Linux prints at most 12 bits of a maj",
        ),
        (LINE[:46] + b"-1", "column 47: '-1'; Linux prints the inode there (%lu)"),
        (
            LINE[:46] + b"9" * 20,
            "column 47: '99999999999999999999'; Linux prints numbers of at most 64",
        ),
        (
            LINE[:46] + b"9" * 9999,
            "column 47: '99999999999999999999'; Linux prints numbers of at most 64",
        ),
        (LINE[9:], "column 1: 000, whose beginning seems to be cut off; Linux prints at least 8"),
        (LINE[8:], "column 1: 0000, whose beginning seems to be cut off; Linux prints at least 8"),
        (b"1000-7f0000001000 rw-p 00000000 00:00 0 ", "column 1: 1000, whose beginning seems"),
    ],
)
def test_a_line_without_a_clear_meaning_is_refused_at_its_column(line: bytes, told: str) -> None:
    with pytest.raises(NotMapsError, match="^" + re.escape(told)):
        scan(line)


@pytest.mark.parametrize(
    "line", [b"12c00000-12c7ffff r-x 00000000 00:00 0 ", b"12c00000-12c7ffff r-xp /system/x"]
)
def test_an_end_that_is_the_last_byte_is_refused(line: bytes) -> None:
    with pytest.raises(
        NotMapsError, match="the last byte of a page; Linux prints the address after"
    ):
        scan(line)


@pytest.mark.parametrize(
    ("rest", "offset", "device", "inode", "name"),
    [
        (b"", 0, (0, 0), 0, b""),
        (b" 00001000", 0x1000, (0, 0), 0, b""),
        (b" /bin/x y", 0, (0, 0), 0, b"/bin/x y"),
        (b" [heap]", 0, (0, 0), 0, b"[heap]"),
        (b" 1000 /bin/x", 0x1000, (0, 0), 0, b"/bin/x"),
        (b" fd:00 12 /bin/x", 0, (0xFD, 0), 12, b"/bin/x"),
        (b" 1000 fd:0 /bin/x", 0x1000, (0xFD, 0), 0, b"/bin/x"),
        (b" 0x1000 8:10 12\t/bin/x\\012y", 0x1000, (8, 0x10), 12, b"/bin/x\ny"),
    ],
)
def test_columns_may_be_missing_where_the_others_tell_which(
    rest: bytes, offset: int, device: tuple[int, int], inode: int, name: bytes
) -> None:
    scanned = scan(b"400000-401000 r-xp" + rest)
    expected = record(0x400000, 0x401000, b"r-xp", offset, device, inode, name)
    assert MapsEntry(*scanned.fields) == expected


def test_names_of_32_bit_machines_are_in_their_column() -> None:
    assert scan(NARROW, NARROW_NAME_COLUMN).differences == []
    assert len(scan(NARROW, NAME_COLUMN).differences) == 1
