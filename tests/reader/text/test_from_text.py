"""Texts from elsewhere: read and reported if they can mean only one thing, otherwise refused."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.maps_texts import TEXTS
from tests.helpers.other_kernels import OTHER_KERNELS, Text, linux
from untorn.maps.entry import MapsEntry
from untorn.reader.snapshot import Snapshot

ANON = b"7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n"
FILE = linux("7f0000002000-7f0000003000 r-xp 00001000 fd:00 12 /lib/x y.so")
HEAP = linux("7f0000004000-7f0000005000 rw-p 00000000 00:00 0 [heap]")
WHOLE = ANON + FILE + HEAP + ANON.replace(b"7f0000", b"7f1000")


def lenient(text: bytes) -> Snapshot:
    return Snapshot.parse(text, strict=False)


def lines_of(taken: Snapshot) -> bytes:
    return b"".join(entry.line() for entry in taken)


def told(text: bytes) -> list[str]:
    return list(map(str, lenient(text).leniencies))


def why_refused(text: bytes, *, strict: bool = False) -> str:
    with pytest.raises(ValueError, match="line") as caught:
        Snapshot.parse(text, strict=strict)
    return str(caught.value)


@pytest.mark.parametrize("case", OTHER_KERNELS.values(), ids=OTHER_KERNELS)
def test_what_other_kernels_print_is_read_and_the_differences_are_told(case: Text) -> None:
    assert lines_of(lenient(case.text)) == case.linux
    found = told(case.text)
    assert len(found) == len(case.told)
    assert all(map(str.startswith, found, case.told)), found


@pytest.mark.parametrize("case", OTHER_KERNELS.values(), ids=OTHER_KERNELS)
def test_read_strictly_they_are_refused_in_the_place_that_differs_first(case: Text) -> None:
    try:
        taken = Snapshot.parse(case.text)
    except ValueError as error:
        assert str(error).startswith(tuple(case.told))  # noqa: PT017 (both outcomes are good)
    else:
        assert lines_of(taken) == case.linux


def columns_changed(old: bytes, new: bytes) -> bytes:
    """The text with something else between its columns, and the names unchanged."""
    lines = [line.split(b" ", 5) for line in WHOLE.splitlines()]
    return b"".join(
        new.join(line[:5]) + (new + line[5].lstrip() if line[5] else old) + b"\n" for line in lines
    )


def each_line(change: Callable[[bytes], bytes]) -> bytes:
    return b"".join(map(change, WHOLE.splitlines(keepends=True)))


MANGLED = {
    "carriage returns": WHOLE.replace(b"\n", b"\r\n"),
    "some carriage returns": WHOLE.replace(b" \n", b" \r\n"),
    "two carriage returns": WHOLE.replace(b"\n", b"\r\r\n"),
    "carriage returns only": WHOLE.replace(b"\n", b"\r"),
    "carriage returns, the last line without": WHOLE.replace(b"\n", b"\r\n")[:-2],
    "no newline at the end": WHOLE[:-1],
    "no blanks at the ends": WHOLE.replace(b" \n", b"\n"),
    "no blank and no newline at the end": WHOLE[:-2],
    "more blanks at the ends": WHOLE.replace(b" \n", b"   \n"),
    "empty lines": b"\n" + WHOLE.replace(b"\n", b"\n\n  \n"),
    "a byte order mark": b"\xef\xbb\xbf" + WHOLE,
    "UTF-16 as PowerShell writes it": WHOLE.replace(b"\n", b"\r\n").decode().encode("utf-16"),
    "UTF-16, most significant byte first": b"\xfe\xff" + WHOLE.decode().encode("utf-16-be"),
    "indented": each_line(lambda line: b"    " + line),
    "quoted": each_line(lambda line: b"> " + line),
    "tabs": columns_changed(b"", b"\t"),
    "one blank": columns_changed(b" ", b" "),
    "three blanks": columns_changed(b"", b"   "),
    "blanks that do not break": columns_changed(b"", b"\xc2\xa0"),
    "upper case": each_line(lambda line: line[:25].upper() + line[25:].replace(b"fd:", b"FD:")),
    "0x": each_line(lambda line: b"0x" + line.replace(b"-", b"-0x", 1)),
    "columns of 64 bits": WHOLE.replace(b"7f", b"00007f"),
    "a hyphen for p": WHOLE.replace(b"p 0", b"- 0"),
    "no p": WHOLE.replace(b"p 0", b" 0"),
    "short devices": WHOLE.replace(b"00:00 0", b"0:0 0").replace(b"fd:00", b"fd:0"),
    "empty ranges": ANON.replace(b"1000 ", b"0000 ") + WHOLE + HEAP.replace(b"4000-", b"5000-"),
    "a hidden range": linux("00000000-00000000 r-xp 00000000 fe:01 7 /x") + WHOLE,
}  # fmt: skip


@pytest.mark.parametrize("text", MANGLED.values(), ids=MANGLED)
def test_what_mails_and_editors_do_to_a_text_is_undone_and_told(text: bytes) -> None:
    assert lines_of(lenient(text)) == WHOLE
    assert told(text)


@pytest.mark.parametrize("text", MANGLED.values(), ids=MANGLED)
def test_read_strictly_it_is_refused_or_read_alike(text: bytes) -> None:
    try:
        assert lines_of(Snapshot.parse(text)) == WHOLE
    except ValueError as error:
        assert str(error).startswith("line ")  # noqa: PT017 (both outcomes are good)


TORN = {
    "a line cut off in an address": (ANON + FILE[:20] + b"\n" + HEAP, "line 2, column 21: the end"),
    "a line cut off after an address": (ANON + FILE[:25] + b"\n" + HEAP, "line 2, column 26: the"),
    "a line cut off in the permissions": (ANON + FILE[:28] + b"\n" + HEAP, "line 2, column 27: "),
    "a line cut off after the permissions": (ANON + FILE[:30] + b"\n" + HEAP, "line 2, column 31"),
    "a line cut off in the offset": (ANON + FILE[:36] + b"\n" + HEAP, "line 2, column 37: the lin"),
    "a line cut off in the device": (ANON + FILE[:43] + b"\n" + HEAP, "line 2, column 41: 'fd:'"),
    "a line cut off after the device": (ANON + FILE[:45] + b"\n" + HEAP, "line 2, column 46: the"),
    "a line cut off in the inode": (FILE + HEAP + b"7f1000" + FILE[6:47] + b"\n", "line 3, column"),
    "a line cut off before its name": (FILE + HEAP + b"7f1" + FILE[3:60] + b"\n", "line 3, column"),
    "a line cut off where no line has an offset": (
        b"00400000-00401000 r-xp fd:00 12 /x\n00500000-00501000 r-xp\n",
        "line 2, column 23: the line ends after the permissions",
    ),
    "the last line cut off in its inode": (ANON + FILE[:47], "line 2, column 48: the line ends"),
    "the last line cut off in its offset": (ANON + FILE[:36], "line 2, column 37: the line ends"),
    "one line, cut off in its offset": (FILE[:36], "line 1, column 37: the line ends after"),
    "the first line lacks its beginning": (ANON[9:] + FILE, "line 1, column 1: 000, whose begin"),
    "the first line lacks one address": (ANON[13:] + FILE, "line 1, column 13: a space"),
    "two lines joined in a name": (FILE[:-1] + HEAP, "line 1, column "),
    "two lines joined in an address": (ANON[:10] + FILE, "line 1, column "),
    "twice the same": (ANON + ANON, "line 2, column 14: 7f0000001000, not above the end"),
    "descending": (FILE + ANON, "line 2, column 14: 7f0000001000, not above the end"),
    "backwards": (FILE.replace(b"7f0000003", b"7f0000001"), "line 1, column 14: 7f0000001000, w"),
    "no text of maps": (b"hello\nworld\n", "line 1, column 1: 'hello'; Linux prints an address"),
    "a command before it": (b"$ cat maps\n" + WHOLE, "line 1, column 1: '$'; Linux prints an addr"),
    "smaps": (ANON + b"Size:    4 kB\nRss:     4 kB\n", "line 2, column 1: a line of smaps; Linux"),
    "numa_maps": (b"7f0000000000 default anon=1\n", "line 1, column 1: a line of numa_maps; Linux"),
    "a tombstone of Android": (
        b"    12c00000-12c7ffff rw-         0     80000  /dev/ashmem/x\n",
        "line 1, column 41: '80000'; Linux prints the device there",
    ),
    "proc/PID/map of BSD": (
        b"0x400000 0x401000 4 0 0xfffff8 r-x 1 0 0x1000 COW NC vnode /bin/x NCH -1\n",
        "line 1, column 9: a space",
    ),
    "addresses and no permissions": (b"0x400000-0x401000 /bin/x\n", "line 1, column 19: '/bin/x'"),
    "UTF-16 cut off": (WHOLE.decode().encode("utf-16")[:-1], "line 1, column 1: UTF-16; Linux"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), TORN.values(), ids=TORN)
def test_what_is_torn_or_can_mean_two_things_is_refused_with_its_place(
    text: bytes, reason: str
) -> None:
    assert why_refused(text).startswith(reason)


@given(TEXTS)
def test_what_linux_prints_is_read_alike_with_and_without_leniency(text: bytes) -> None:
    try:
        strictly = Snapshot.parse(text)
    except ValueError as error:
        assert str(error) == why_refused(text)  # noqa: PT017 (both must agree)
        return
    assert lenient(text) == strictly
    assert lenient(text).coherence == strictly.coherence


@given(TEXTS.filter(bool), st.data())
def test_what_leniency_makes_of_damaged_text_is_a_text_that_linux_prints(
    text: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(text) - 1))
    put = data.draw(st.binary(max_size=2))
    try:
        taken = lenient(text[:at] + put + text[at + data.draw(st.integers(0, 30)) :])
    except ValueError as error:
        assert str(error).startswith("line ")  # noqa: PT017 (both outcomes are good)
        return
    for entry in taken:
        assert MapsEntry.parse(entry.line()) == entry._replace(
            name=entry.name.replace(b"\\012", b"\n")
        )


def test_each_kind_of_difference_is_told_once_with_its_first_line_and_how_many_there_are() -> None:
    lines = [
        b"%x-%x rw-p 00000000 00:00 0\n" % (page << 12, page + 1 << 12) for page in range(300, 900)
    ]
    assert told(b"".join(lines)) == [
        "line 1, column 1: an address of 6 digits; Linux prints at least 8 (%08x) (600 lines)",
        "line 1, column 36: the line ends after the inode; Linux prints a space there (600 lines)",
    ]
    first = lenient(b"".join(lines)).leniencies[0]
    assert (first.line, first.column, first.lines) == (1, 1, 600)
    assert (first.found, first.linux) == ("an address of 6 digits", "at least 8 (%08x)")


def test_linux_itself_has_nothing_told() -> None:
    assert told(WHOLE) == told(b"") == []
    assert Snapshot.parse(WHOLE).leniencies == ()


def test_one_name_may_end_with_a_carriage_return_but_not_all() -> None:
    name = FILE[:-1] + b"\r\n"
    for strict in (True, False):
        assert [e.name for e in Snapshot.parse(ANON + name, strict=strict)] == [
            b"",
            b"/lib/x y.so\r",
        ]
    assert why_refused(name, strict=True).startswith(
        "line 1, column 85: a carriage return before the newline; Linux prints none there"
    )
    assert lines_of(lenient(name)) == FILE


def test_a_later_line_that_reaches_into_the_one_before_is_the_newer_form() -> None:
    text = ANON.replace(b"1000 ", b"3000 ") + FILE.replace(b"3000 ", b"5000 ")
    assert lenient(text) == Snapshot.parse(text)
    assert lenient(text).coherence.overlaps == 1


def test_a_snapshot_from_elsewhere_can_be_the_previous_one_of_another() -> None:
    assert lenient(WHOLE).parse_next([WHOLE]) == Snapshot.parse(WHOLE).columns


def test_a_long_line_is_shown_only_in_part() -> None:
    assert len(why_refused(b"x" * 1_000_000)) < 500
