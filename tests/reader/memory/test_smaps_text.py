"""smaps read into columns: what each kernel prints, what broke others, and what is no smaps."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.entries import record
from tests.helpers.maps_texts import line
from tests.helpers.smaps_records import records
from tests.helpers.smaps_texts import GENERATIONS, Record, field, printed, smaps
from untorn.maps.entry import MapsEntry
from untorn.reader.memory import smaps_fields
from untorn.reader.memory.smaps_fields import decimals, read_records
from untorn.reader.memory.smaps_from_text import read_text
from untorn.reader.memory.smaps_text import SmapsText, parse_smaps

PAGE = 0x1000
HEAP = line(0x5555_0000_0000, PAGE, b"[heap]")
LIBRARY = line(0x5555_0000_2000, PAGE, b"/lib/x y.so", b"r-xp", inode=7)
STACK = line(0x7FFF_0000_0000, PAGE, b"[stack]")
FLAGS = b"VmFlags: rd wr \n"
TEXT = b"".join(
    (
        *(HEAP, field("Rss", 4), field("Pss", 3), b"THPeligible:    0\n", FLAGS),
        *(LIBRARY, field("Rss", 16), field("Pss", 8), b"THPeligible:    1\n", FLAGS),
        *(STACK, field("Rss", 1234), field("Pss", 12), b"THPeligible:    0\n", FLAGS),
    )
)
ROLLUP = b"".join(
    (
        line(0x5555_0000_0000, PAGE, b"[rollup]", b"---p"),
        *(field(name, kb) for name, kb in (("Rss", 12), ("Pss", 5), ("Pss_Anon", 4))),
    )
)


@pytest.fixture(autouse=True)
def _together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read even two records together, and never many."""
    monkeypatch.setattr(smaps_fields, "_FEW", 2)
    monkeypatch.setattr(smaps_fields, "_BATCH", 3)


def entries(parsed: SmapsText) -> list[MapsEntry]:
    return [parsed.columns.entry(row) for row in range(len(parsed.columns))]


def numbers(parsed: SmapsText, row: int) -> dict[str, int]:
    """Return the numbers of one record."""
    return {
        name: int(column[row])
        for name, column in parsed.fields.items()
        if not np.ma.getmaskarray(column)[row]
    }


def as_records(parsed: SmapsText) -> list[Record]:
    return [
        Record(entry, numbers(parsed, row), parsed.flags[row] or ())
        for row, entry in enumerate(entries(parsed))
    ]


def told(parsed: SmapsText) -> list[str]:
    return list(map(str, parsed.leniencies))


def why_refused(text: bytes) -> str:
    with pytest.raises(ValueError, match="line") as caught:
        parse_smaps(text)
    return str(caught.value)


@given(smaps())
def test_what_any_kernel_prints_is_read_as_it_is(drawn: tuple[list[Record], bytes]) -> None:
    expected, text = drawn
    parsed = parse_smaps(text)
    assert as_records(parsed) == expected
    assert list(parsed.fields) == list(expected[0].numbers)
    assert not any(map(np.ma.is_masked, parsed.fields.values()))
    assert told(parsed) == []


@given(smaps())
def test_with_other_line_ends_it_is_read_alike_and_told(drawn: tuple[list[Record], bytes]) -> None:
    expected, text = drawn
    parsed = parse_smaps(text.replace(b"\n", b"\r\n"))
    assert as_records(parsed) == expected
    assert re.search("a carriage return before the newline", told(parsed)[0])


@given(st.lists(st.lists(st.sampled_from(["Rss", "Pss", "New", "Swap"]), unique=True)))
def test_each_record_may_have_other_fields_in_another_order(names: list[list[str]]) -> None:
    texts, expected = [], []
    for row, chosen in enumerate([["Rss"], *names]):
        entry = record(PAGE * (2 * row + 1), PAGE * (2 * row + 2))
        fields = {name: 4 * (row + place) for place, name in enumerate(chosen)}
        texts += [entry.line(), *(field(*each) for each in fields.items())]
        expected.append(Record(entry, {name: kb << 10 for name, kb in fields.items()}, ()))
    parsed = parse_smaps(b"".join(texts))
    assert as_records(parsed) == expected
    assert parsed.flags == [None] * len(expected)


@given(smaps(), st.data())
def test_records_read_together_are_read_as_each_alone(
    drawn: tuple[list[Record], bytes], data: st.DataObject
) -> None:
    text = bytearray(drawn[1])
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] = data.draw(st.sampled_from(b"01x9 :\n-k"))
    try:
        expected = read_text(bytes(text))
    except ValueError as error:
        assert why_refused(bytes(text)) == str(error)  # noqa: PT017 (both must agree)
        return
    parsed = parse_smaps(bytes(text))
    assert parsed.columns == expected.columns
    with pytest.MonkeyPatch.context() as alone:
        alone.setattr(smaps_fields, "_FEW", 1_000_000)
        assert {name: column.tolist() for name, column in parsed.fields.items()} == {
            name: column.tolist() for name, column in read_records(expected.fields)[0].items()
        }


EIGHT = st.one_of(st.integers(0, 99_999_999).map(b"%8d".__mod__), st.binary(min_size=8, max_size=8))


@given(st.lists(EIGHT))
def test_a_number_is_blanks_and_then_digits(words: list[bytes]) -> None:
    words += [bytes(b" 7"[row >> bit & 1] for bit in range(8)) for row in range(256)]
    words += [b" %c%6d" % (byte, 123456) for byte in range(256)]
    found, valid = decimals(np.frombuffer(b"".join(words), "<u8").astype(np.uint64))
    for word, number, is_one in zip(words, found.tolist(), valid.tolist(), strict=True):
        assert is_one == bool(re.fullmatch(rb" *\d+", word))
        assert not is_one or number == int(word)


def test_the_running_kernel_prints_what_is_read() -> None:
    text = Path("/proc/self/smaps").read_bytes()
    parsed = parse_smaps(text)
    expected = records(text)
    assert [entry.line() for entry in entries(parsed)] == [each.line for each in expected]
    for row, one in enumerate(expected):
        flags = one.fields.pop("VmFlags")
        assert parsed.flags[row] == tuple(flags.split())
        in_kb = {name: number >> 10 for name, number in numbers(parsed, row).items()}
        plain = {name: numbers(parsed, row)[name] for name in {"THPeligible", "ProtectionKey"}
                 if name in one.fields}  # fmt: skip
        assert in_kb | plain == {name: int(text) for name, text in one.fields.items()}
    assert told(parsed) == []


def test_the_rollup_of_the_running_kernel_is_read() -> None:
    text = Path("/proc/self/smaps_rollup").read_bytes()
    parsed = parse_smaps(text)
    assert [entry.name for entry in entries(parsed)] == [b"[rollup]"]
    fields = records(text)[0].fields
    assert numbers(parsed, 0) == {name: int(text) << 10 for name, text in fields.items()}
    assert told(parsed) == []


def test_a_rollup_has_its_kinds_of_pss_and_no_flags() -> None:
    parsed = parse_smaps(ROLLUP)
    assert numbers(parsed, 0) == {"Rss": 12 << 10, "Pss": 5 << 10, "Pss_Anon": 4 << 10}
    assert parsed.flags == [None]


def test_a_rollup_of_nothing_is_a_record_of_an_empty_range() -> None:
    text = ROLLUP.replace(b"555500000000-555500001000", b"00000000-00000000")
    assert numbers(parse_smaps(text), 0) == numbers(parse_smaps(ROLLUP), 0)
    assert entries(parse_smaps(text))[0].size == 0


def test_no_text_has_no_records() -> None:
    parsed = parse_smaps(b"")
    assert (len(parsed.columns), parsed.fields, parsed.flags, told(parsed)) == (0, {}, [], [])


def test_columns_are_bytes_and_cannot_be_written() -> None:
    column = parse_smaps(TEXT).fields["Rss"]
    assert column.dtype == np.uint64
    assert column.tolist() == [4096, 16384, 1234 << 10]
    with pytest.raises(ValueError, match="read-only"):
        column[0] = 1


OTHERS_BROKE = {
    "flags are an empty line": (
        TEXT.replace(FLAGS, b"VmFlags:\n", 1),
        lambda parsed: parsed.flags == [(), ("rd", "wr"), ("rd", "wr")],
    ),
    "flags are a blank": (
        TEXT.replace(FLAGS, b"VmFlags: \n", 1),
        lambda parsed: parsed.flags[0] == (),
    ),
    "a flag that nobody knows yet": (
        TEXT.replace(FLAGS, b"VmFlags: rd zz \n"),
        lambda parsed: parsed.flags == [("rd", "zz")] * 3,
    ),
    "a field without anything": (
        TEXT.replace(field("Pss", 3), b"Pss:\n"),
        lambda parsed: parsed.fields["Pss"].tolist() == [None, 8192, 12288],
    ),
    "a field with a word": (
        TEXT.replace(field("Pss", 3), b"Pss: much\n"),
        lambda parsed: parsed.fields["Pss"].tolist() == [None, 8192, 12288],
    ),
    "no field but one": (
        HEAP + field("Pss", 3) + LIBRARY + field("Pss", 8),
        lambda parsed: {name: column.tolist() for name, column in parsed.fields.items()}
        == {"Pss": [3072, 8192]},
    ),
    "the first and the last record count, each under its name": (
        TEXT,
        lambda parsed: [
            (entry.name, int(rss))
            for entry, rss in zip(entries(parsed), parsed.fields["Rss"], strict=True)
        ]
        == [(b"[heap]", 4096), (b"/lib/x y.so", 16384), (b"[stack]", 1234 << 10)],
    ),
    "names of fields begin alike": (
        HEAP + field("Pss", 1) + field("Pss_Dirty", 2) + field("SwapPss", 3) + field("Swap", 4),
        lambda parsed: numbers(parsed, 0)
        == {"Pss": 1024, "Pss_Dirty": 2048, "SwapPss": 3072, "Swap": 4096},
    ),
    "a file is named like a field": (
        TEXT.replace(b"/lib/x y.so", b"/tmp/Rss: 4 kB"),
        lambda parsed: entries(parsed)[1].name == b"/tmp/Rss: 4 kB"
        and numbers(parsed, 1)["Rss"] == 16384,
    ),
    "a file is named like a range": (
        TEXT.replace(b"/lib/x y.so", b"/7f0000000000-7f0000001000 rw-p"),
        lambda parsed: len(parsed.columns) == 3,
    ),
    "a name has a newline": (
        TEXT.replace(b"/lib/x y.so", b"/x\\012Rss:  9 kB"),
        lambda parsed: entries(parsed)[1].name == b"/x\nRss:  9 kB",
    ),
    "a line longer than 64 KiB": (
        TEXT.replace(b"/lib/x y.so", b"/" + b"x" * 70_000),
        lambda parsed: len(entries(parsed)[1].name) == 70_001,
    ),
    "addresses of eight digits and of sixteen": (
        line(0x8048000, PAGE, b"/x", inode=7) + field("Rss", 4) + FLAGS
        + line((1 << 64) - 0xA00000, PAGE, b"[vsyscall]", b"--xp") + field("Rss", 0) + FLAGS,
        lambda parsed: parsed.fields["Rss"].tolist() == [4096, 0],
    ),
    "more than eight digits": (
        TEXT.replace(field("Rss", 16), field("Rss", 137_438_953_472)),
        lambda parsed: parsed.fields["Rss"].tolist() == [4096, 1 << 47, 1234 << 10],
    ),
    "a number after another one's unit": (
        TEXT.replace(field("Pss", 3), b"Pss:   3 kB 4\n"),
        lambda parsed: parsed.fields["Pss"].tolist() == [None, 8192, 12288],
    ),
    "a number that lost its end is no number": (
        TEXT.replace(field("Rss", 1234), b"Rss:                12\n"),
        lambda parsed: parsed.fields["Rss"].tolist() == [4096, 16384, None],
    ),
    "Android's line of a name": (
        TEXT.replace(HEAP, line(0x5555_0000_0000, PAGE, b"") + b"Name:           [anon:a b]\n"),
        lambda parsed: entries(parsed)[0].name == b"[anon:a b]" and "Name" not in parsed.fields,
    ),
    "a range without fields": (
        HEAP + TEXT[len(HEAP) :].replace(LIBRARY, LIBRARY + STACK.replace(b"7fff", b"7ff0")),
        lambda parsed: parsed.fields["Rss"].tolist() == [4096, None, 16384, 1234 << 10],
    ),
}  # fmt: skip
"""Texts on which other parsers of smaps failed, or which they read wrongly."""


@pytest.mark.parametrize(("text", "is_right"), OTHERS_BROKE.values(), ids=OTHERS_BROKE)
def test_what_others_broke_on_is_read(text: bytes, is_right: Callable[[SmapsText], bool]) -> None:
    assert is_right(parse_smaps(text))


PASTED = {
    "tabs": TEXT.replace(b":  ", b":\t"),
    "blanks that do not break": TEXT.replace(b"  ", b"\xc2\xa0 "),
    "blanks at the ends": TEXT.replace(b" kB\n", b" kB  \n"),
    "quoted": b"".join(b"> " + each for each in TEXT.splitlines(keepends=True)),
    "empty lines": TEXT.replace(FLAGS, FLAGS + b"\n"),
    "carriage returns": TEXT.replace(b"\n", b"\r\n"),
    "UTF-16": TEXT.decode().encode("utf-16"),
}


@pytest.mark.parametrize("text", PASTED.values(), ids=PASTED)
def test_what_pasting_does_to_a_text_is_undone_and_told(text: bytes) -> None:
    assert as_records(parse_smaps(text)) == as_records(parse_smaps(TEXT))
    assert told(parse_smaps(text))


@pytest.mark.parametrize("text", [TEXT.replace(b" \n", b"\n"), re.sub(rb" +", b" ", TEXT)])
def test_how_many_blanks_there_are_does_not_matter(text: bytes) -> None:
    assert as_records(parse_smaps(text)) == as_records(parse_smaps(TEXT))


def test_what_differs_is_told_once_with_its_first_line() -> None:
    assert told(parse_smaps(TEXT.replace(b":  ", b":\t"))) == [
        "line 2, column 1: 'Rss:\\t                 4 kB'; Linux prints a name and a number, as in "
        "'Rss:                   4 kB', or flags (9 lines)",
    ]


@pytest.mark.parametrize("size", range(len(HEAP) + 28, len(TEXT)))
def test_of_a_text_that_was_cut_off_what_is_whole_is_read(size: int) -> None:
    parsed, whole = parse_smaps(TEXT[:size]), parse_smaps(TEXT)
    for row, entry in enumerate(entries(parsed)):
        assert entry == entries(whole)[row]
        assert numbers(parsed, row).items() <= numbers(whole, row).items()
        assert parsed.flags[row] in (None, whole.flags[row])
    fields = sum(len(numbers(parsed, row)) for row in range(len(parsed.columns)))
    assert fields >= len(re.findall(rb" kB$|THPeligible: +\d\n", TEXT[:size], re.MULTILINE))
    unended = [each for each in told(parsed) if "the text ends without a newline" in each]
    assert len(unended) == (TEXT[size - 1 : size] != b"\n")


REFUSED = {
    "no smaps": (b"hello\nworld\n", "line 1, column 1: 'hello'; Linux prints an address (%08x)"),
    "a word": (b"hello", "line 1, column 1: 'hello'; Linux prints an address (%08x)"),
    "maps": (HEAP + STACK, "line 1, column 80: no field after the line; Linux prints the fields"),
    "a range": (HEAP, "line 1, column 80: no field after the line; Linux prints the fields"),
    "meminfo": (
        b"MemTotal:       16 kB\n",
        "line 1, column 1: 'MemTotal:       16 kB'; Linux prints the line of a range before its",
    ),
    "its beginning is cut off": (TEXT[len(HEAP) :], "line 1, column 1: 'Rss:                   4"),
    "a line in it": (TEXT.replace(STACK, b"$\n" + STACK), "line 11, column 1: '$'; Linux prints"),
    "a field twice": (
        TEXT.replace(field("Pss", 8), field("Rss", 8)),
        "line 8, column 1: Rss once more; Linux prints each field once after the line of a range",
    ),
    "two texts": (TEXT * 2, "line 16, column 14: 555500001000, not above the end of the range"),
    "numbers of other texts": (
        HEAP + b"Rss 4 kB\n",
        "line 2, column 1: 'Rss'; Linux prints an address (%08x)",
    ),
    "a range that is cut off in its middle": (
        TEXT.replace(LIBRARY, LIBRARY[:20] + b"\n"),
        "line 6, column 21: the end of the line; Linux prints one space",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_smaps_is_refused_with_its_place(text: bytes, reason: str) -> None:
    assert why_refused(text).startswith(reason)


@given(st.binary(max_size=60), st.integers(0, len(TEXT)))
def test_whatever_is_put_into_a_text_it_is_read_or_refused(put: bytes, at: int) -> None:
    try:
        parsed = parse_smaps(TEXT[:at] + put + TEXT[at:])
    except ValueError as error:
        assert str(error).startswith("line ")  # noqa: PT017 (both outcomes are good)
    else:
        assert len(parsed.columns) == len(parsed.flags)
        assert all(len(column) == len(parsed.flags) for column in parsed.fields.values())


def test_generations_differ_as_their_kernels_do() -> None:
    assert "Pss_Dirty" not in GENERATIONS["5.4"].fields
    one = Record(record(PAGE, 2 * PAGE), dict.fromkeys(GENERATIONS["4.14"].fields, 0), ())
    assert b"THPeligible" not in printed(one, GENERATIONS["4.14"])
