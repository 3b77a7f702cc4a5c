"""Text to columns: exactly what the parser of single lines says, or refused with the line."""

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.engine import Pages
from tests.helpers.maps_texts import TEXTS
from untorn.maps.entry import MapsEntry
from untorn.maps.fields import Device, Permissions
from untorn.mm.mman import PROT_NONE, PROT_READ
from untorn.reader.text import block, line_endings, parse
from untorn.reader.text import parse_again as parse_again_module
from untorn.reader.text.columns import Columns
from untorn.reader.text.hex_field import gather, hex_numbers
from untorn.reader.text.parse_again import parse_again

LINE = b"7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n"


@pytest.fixture(autouse=True)
def _in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read even two lines by whole columns, and cut text into blocks of a few lines."""
    monkeypatch.setattr(parse, "SHORT", 0)
    monkeypatch.setattr(parse, "BLOCK", 700)
    monkeypatch.setattr(block, "_FEW", 2)
    monkeypatch.setattr(line_endings, "_FEW", 2)


def reference(text: bytes) -> list[MapsEntry] | int:
    """Return MapsEntry.parse()'s entries, or the number of the first line that it refuses."""
    entries = []
    for number, line in enumerate(re.findall(rb"[^\n]*\n|[^\n]+", text), 1):
        try:
            entries.append(MapsEntry.parse(line))
        except ValueError:
            return number
    return entries


def by_columns(texts: list[bytes]) -> list[MapsEntry] | int:
    try:
        columns = parse.parse(texts)
    except ValueError as error:
        return int(re.findall(r"^line (\d+), column \d+: ", str(error))[0])
    return [columns.entry(row) for row in range(len(columns))]


@given(TEXTS, st.integers(0, 30))
def test_text_is_read_as_its_lines_are(text: bytes, cut: int) -> None:
    whole = re.findall(rb"[^\n]*\n", text)
    parts = [b"".join(whole[:cut]), b"".join(whole[cut:])]
    assert by_columns(parts) == by_columns([text]) == reference(text)
    assert not isinstance(reference(text), int)


@given(TEXTS.filter(bool), st.data())
def test_damaged_text_is_refused_where_a_single_line_is(text: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text) - 1))
    byte = data.draw(st.sampled_from(b"0aAgGxps- :\n\r\x00\xff\t"))
    for damaged in (
        text[:at],
        text[:at] + bytes([byte]) + text[at + 1 :],
        text[:at] + text[at + 1 :],
    ):
        assert by_columns([damaged]) == reference(damaged)


@given(st.binary(max_size=300))
@settings(max_examples=30)
def test_any_bytes_are_read_alike_or_refused_alike(text: bytes) -> None:
    assert by_columns([LINE * 3 + text]) == reference(LINE * 3 + text)


def test_only_lower_case_hexadecimal_is_a_digit() -> None:
    text = b"".join(bytes([byte]) * 16 for byte in range(256))
    numbers, valid = hex_numbers(gather(text, np.arange(256) * 16, 16))
    digits = {byte: int(chr(byte), 16) for byte in b"0123456789abcdef"}
    assert np.flatnonzero(valid).tolist() == sorted(digits)
    for byte, value in digits.items():
        assert numbers[byte] == value * 0x1111_1111_1111_1111


@pytest.mark.parametrize("width", range(8, 17))
def test_a_number_has_as_many_digits_as_asked_for(width: int) -> None:
    text = b"fedcba9876543210"
    fields = gather(text, np.arange(len(text) - width + 1), width)
    numbers, valid = hex_numbers(fields)
    assert valid.all()
    assert numbers.tolist() == [int(text[at : at + width], 16) for at in range(len(numbers))]
    text = b"0" * (width - 1) + b"z" + b"1" * width
    numbers, valid = hex_numbers(gather(text, np.array([0, width]), width))
    assert (numbers[1], *valid) == (int(b"1" * width, 16), False, True)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (LINE[:-1], "column 49: the text is cut off; Linux prints a newline"),
        (
            LINE.replace(b"7f0000001000", b"7e0000001000"),
            "column 14: 7e0000001000, which is below 7f0000000000; Linux prints the lower address",
        ),
        (
            LINE.replace(b" 0 \n", b" %d \n" % (1 << 64)),
            "column 47: '18446744073709551616'; Linux prints numbers of at most 64 bits",
        ),
        (LINE.replace(b"rw-p", b"rwp-"), "column 27: 'rwp-'; Linux prints r or -, w or -, x or -"),
        (b"\n", "column 1: an empty line; Linux prints one line for each VMA"),
    ],
)
def test_a_refusal_names_line_and_column_and_what_linux_prints(line: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^line 21, {reason}"):
        parse.parse([LINE * 20 + line])


def test_no_text_is_no_rows() -> None:
    assert len(parse.parse([])) == len(parse.parse([b""])) == 0


def in_parts(text: bytes, cuts: list[int]) -> list[bytes]:
    """The text, cut at these places, which may be within lines."""
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[begin:end] for begin, end in pairwise(places)]


CUTS = st.lists(st.integers(0, 5000), max_size=6)


@given(TEXTS, TEXTS, TEXTS, TEXTS, CUTS, CUTS)
@settings(max_examples=60)
def test_a_text_read_again_is_read_as_if_for_the_first_time(
    head: bytes, old: bytes, new: bytes, tail: bytes, cuts: list[int], old_cuts: list[int]
) -> None:
    old_text, new_text = head + old + tail, head + new + tail
    before = parse.parse([old_text])
    after = parse_again(in_parts(new_text, cuts), in_parts(old_text, old_cuts), before)
    assert after == parse.parse([new_text])
    assert by_columns([new_text]) == [after.entry(row) for row in range(len(after))]


PARTS = st.lists(TEXTS, max_size=8)


@given(PARTS, PARTS, st.lists(st.integers(0, 3), max_size=8), st.sampled_from([0, 2, 32]))
@settings(max_examples=100)
def test_parts_that_changed_here_and_there_are_read_as_if_for_the_first_time(
    old: list[bytes], other: list[bytes], changes: list[int], most: int
) -> None:
    new = list(old)
    for number, change in enumerate(changes):
        new[number : number + (change > 0)] = other[number : number + change]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parse_again_module, "_MOST", most)
        assert parse_again(new, old, parse.parse(old)) == parse.parse(new)


def test_between_two_changes_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [b"%012x-%012x rw-p 00000000 00:00 0 \n" % (n << 13, (n << 13) + 9) for n in range(90)]
    before, new = parse.parse(parts), list(parts)
    for row in 5, 6, 80:
        new[row] = new[row].replace(b"rw-p", b"r--s")
    numbers: list[int] = []

    def parse_noted(texts: list[bytes], first: int) -> Columns:
        numbers.append(first)
        return parse.parse(texts, first)

    monkeypatch.setattr(parse_again_module, "parse", parse_noted)
    after = parse_again(new, parts, before)
    assert after == parse.parse(new)
    assert numbers == [6, 81]


@pytest.mark.parametrize("size", [1, 60, 2000])
def test_after_a_line_that_came_or_went_the_rest_is_recognised_in_other_parts(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        b"%012x-%012x rw-p 00000000 00:00 0 \n" % (n << 13, (n << 13) + 4096) for n in range(200)
    ]
    more = b"000000000800-000000000801 rw-p 00000000 00:00 0    [heap]\n"
    old, new = b"".join(lines), b"".join([*lines[:90], more, *lines[90:]])
    read: list[bytes] = []

    def parse_noted(texts: list[bytes], first: int) -> Columns:
        read.extend(texts)
        return parse.parse(texts, first)

    monkeypatch.setattr(parse_again_module, "parse", parse_noted)
    for text, other in (new, old), (old, new):
        parts, other_parts = (
            [each[at : at + size] for at in range(0, len(each), size)] for each in (text, other)
        )
        parse_again(parts, other_parts, parse.parse([other]))
    assert read[0].startswith(more)
    assert sum(map(len, read)) <= len(more) + 2 * len(lines[90])  # at most also the line after it


def test_a_refusal_of_what_changed_counts_lines_from_the_first() -> None:
    lines = [LINE.replace(b"7f", b"%02x" % n) for n in range(16, 60)]
    parts = [lines[0], *[b"".join(lines[n : n + 9]) for n in range(1, len(lines), 9)]]
    damaged = [part.replace(lines[30], LINE.replace(b"rw", b"?w")) for part in parts]
    with pytest.raises(ValueError, match=r"^line 31, column 27: "):
        parse_again(damaged, parts, parse.parse(parts))


def test_only_what_changed_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        b"%012x-%012x rw-p 00000000 00:00 0 \n" % (n << 13, (n << 13) + 4096) for n in range(50)
    ]
    old = b"".join(lines)
    before = parse.parse([old])
    read: list[bytes] = []

    def parse_noted(texts: list[bytes], first: int) -> Columns:
        read.extend(texts)
        return original(texts, first)

    original = parse.parse
    monkeypatch.setattr(parse_again_module, "parse", parse_noted)
    assert parse_again([old], [b"".join([old[:100], old[100:]])], before) is before
    assert read == []
    new = [*lines[:20], lines[20].replace(b"rw-p", b"r--p"), *lines[22:]]
    assert parse_again([b"".join(new)], [old], before) == original([b"".join(new)])
    assert read == [new[20]]


def test_text_of_the_engine_is_read_as_what_it_is() -> None:
    process = Pages()
    for page in range(0, 200, 3):
        process.map(page, page + 2)
        process.protect(page, page + 1, [PROT_READ, PROT_NONE][page % 2])
    with process.open() as maps:
        texts = list(iter(lambda: maps.read(1 << 16), b""))
    columns = parse.parse(texts)
    assert len(columns) == process.mm.map_count
    assert b"".join(columns.entry(row).line() for row in range(len(columns))) == b"".join(texts)


@given(TEXTS)
def test_columns_of_entries_are_those_of_their_text(text: bytes) -> None:
    entries = reference(text)
    assert not isinstance(entries, int)
    columns = Columns.of_entries(entries)
    assert columns == parse.parse([text])
    assert Columns.join([columns.take(slice(3)), columns.take(slice(3, None))]) == columns


def test_columns_that_differ_in_one_field_are_not_equal() -> None:
    entry = MapsEntry.parse(LINE)
    others = [
        entry._replace(end=entry.end + 4096),
        entry._replace(permissions=Permissions.READ),
        entry._replace(offset=4096),
        entry._replace(device=Device(8, 1)),
        entry._replace(inode=5),
        entry._replace(name=b"[heap]"),
    ]
    for other in others:
        assert Columns.of_entries([entry]) != Columns.of_entries([other])


@pytest.mark.parametrize("tail", [b"", b" ", b" x", b" 00:00 0 \n", b" 00:00 0"])
def test_a_line_that_ends_early_is_refused_among_its_like(tail: bytes) -> None:
    line = b"7f0000000000-7f0000001000 rw-p 0000000000000000" + tail + b"\n"
    for text in (LINE * 3 + line * 5 + LINE, line * 3 + LINE * 2, LINE * 2 + line * 3):
        assert by_columns([text]) == reference(text)
