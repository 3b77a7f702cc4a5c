"""The record of a VMA: its line and its properties."""

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.entries import record
from untorn.maps.entry import MapsEntry
from untorn.maps.fields import LETTERS, PERMISSIONS, Device, Permissions
from untorn.maps.procmap_query import ProcmapQuery, QueriedVma

LINE = b"7f0000000000-7f0000001000 r-xs 00001000 08:01 77                         /a  b\\012c \n"
ENTRY = record(0x7F0000000000, 0x7F0000001000, b"r-xs", 0x1000, (8, 1), 77, b"/a  b\nc ")


def test_a_parsed_line_is_written_back_unchanged() -> None:
    assert MapsEntry.parse(LINE) == ENTRY
    assert ENTRY.line() == LINE
    assert str(ENTRY) == "7f0000000000-7f0000001000 r-xs 00001000 08:01 77 /a  b\\012c "
    nameless = b"00001000-00002000 ---p 00000000 00:00 0 \n"
    assert str(MapsEntry.parse(nameless)) == "00001000-00002000 ---p 00000000 00:00 0"


@pytest.mark.parametrize("text", [b"", b"Rss: 4 kB\n", b"12-zz r--p\n", LINE[:-1]])
def test_a_text_that_is_not_a_line_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        MapsEntry.parse(text)


def test_an_address_is_in_the_vma_that_covers_it() -> None:
    first, end = ENTRY.start, ENTRY.end
    assert [addr in ENTRY for addr in (first - 1, first, end - 1, end)] == [0, 1, 1, 0]
    assert np.uint64(first) in ENTRY  # the type of addresses in the columns of a snapshot
    assert ENTRY.size == 4096
    assert ENTRY.offset_of(first + 1) == 0x1001


@pytest.mark.parametrize("permissions", PERMISSIONS, ids=str)
def test_permissions_match_their_letters(permissions: Permissions) -> None:
    entry = ENTRY._replace(permissions=permissions)
    told = (entry.readable, entry.writable, entry.executable, entry.shared)
    letters = permissions.letters.decode()
    assert told == tuple(a == b for a, b in zip(letters, "rwxs", strict=True))
    assert str(permissions) == letters
    assert Permissions.parse(LETTERS[permissions]) is permissions


def test_other_letters_are_refused() -> None:
    with pytest.raises(ValueError, match="not permissions: b'rwx'; they look like b'rw-p'"):
        Permissions.parse(b"rwx")


def test_a_device_converts_to_and_from_st_dev() -> None:
    st_dev = Path("/").stat().st_dev
    assert Device.of(st_dev).st_dev == st_dev
    assert str(Device(0xFD, 0x12)) == "fd:12"


def test_other_flag_bits_of_the_kernel_are_ignored() -> None:
    answer = ProcmapQuery(vma_start=0x1000, vma_end=0x2000, vma_flags=0x105)
    entry = QueriedVma.from_struct(answer, b"", b"").entry
    assert entry.permissions == Permissions.READ | Permissions.EXECUTE
