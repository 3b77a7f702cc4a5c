"""A process from the text of maps: it shows the same text, and other texts are refused."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.engine import RW, addr, text_of
from tests.helpers.maps_texts import GATE_LINE
from untorn.fs.from_maps.address_space import mm_from_maps
from untorn.maps.fields import Device
from untorn.maps.page import PAGE_SIZE, PMD_SIZE
from untorn.mm.calls.shm import ShmSegment
from untorn.mm.file import VmFile
from untorn.mm.limits import RLIM_INFINITY, Limits, legacy_base, pick_mmap_base
from untorn.mm.mm_types import MmStruct
from untorn.mm.mman import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
)
from untorn.mm.mmap_lock import mmap_read_lock, mmap_read_unlock
from untorn.syscalls import Process

P = PAGE_SIZE
PADDING = b" " * 26
ONE = b"7f0000000000-7f0000001000 r--p 00000000 00:00 0 \n"
TWO = b"7f0000001000-7f0000003000 rw-p 00000000 08:01 7" + PADDING + b"/lib/x\n"
STACK = b"7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0" + PADDING[:26] + b"[stack]\n"

BAD = {
    "cut off in the middle": (ONE + TWO[:40], 2, "is cut off"),
    "cut off before the newline": (ONE + TWO[:-1], 2, "is cut off"),
    "the first line lacks its beginning": (TWO[9:] + ONE, 1, "is not a line of maps"),
    "torn: the second begins in the first": (
        TWO + b"7f0000002000-7f0000004000 rw-p 00000000 00:00 0 \n",
        2,
        "begins below the end of the line before it",
    ),
    "twice the same": (ONE + ONE, 2, "begins below the end of the line before it"),
    "out of order": (TWO + ONE, 2, "begins below the end of the line before it"),
    "backwards": (b"2000-1000 r--p 00000000 00:00 0 \n", 1, "is not a line of maps"),
    "ends before it begins": (
        b"7f0000001000-7f0000000000 r--p 00000000 00:00 0 \n",
        1,
        "is below",
    ),
    "empty": (b"7f0000001000-7f0000001000 r--p 00000000 00:00 0 \n", 1, "empty range"),
    "half a page": (
        b"7f0000000000-7f0000000800 r--p 00000000 00:00 0 \n",
        1,
        "is not page-aligned",
    ),
    "half a page into the file": (
        b"7f0000000000-7f0000001000 r--p 00000200 08:01 7" + PADDING + b"/lib/x\n",
        1,
        "is not page-aligned",
    ),
    "of the kernel": (
        b"ffffffffff000000-ffffffffff001000 r--p 00000000 00:00 0 \n",
        1,
        "is above what a process may map",
    ),
    "something after the gate": (GATE_LINE + ONE, 1, "is above what a process may map"),
    "smaps": (ONE + b"Size:                  4 kB\n", 2, "is not a line of maps"),
    "another program's columns": (ONE.replace(b"-", b" - "), 1, "is not a line of maps"),
    "an empty line": (ONE + b"\n" + TWO, 2, "is not a line of maps"),
    "upper case": (ONE.replace(b"7f0000000000", b"7F0000000000"), 1, "is not a line of maps"),
    "carriage returns": (ONE.replace(b"\n", b"\r\n"), 1, "a carriage return before the newline"),
    "fewer blanks": (ONE + TWO.replace(PADDING, b" "), 2, "is not as Linux writes it"),
    "zeros in front": (b"0" + ONE, 1, "is not as Linux writes it"),
    "an offset without a file": (
        b"7f0000000000-7f0000001000 r--p 00001000 00:00 0 \n",
        1,
        "is not as Linux writes it",
    ),
    "a picture": (b"\x89PNG\r\n\x1a\n", 1, "is not a line of maps"),
}


@pytest.mark.parametrize(("text", "number", "reason"), BAD.values(), ids=BAD.keys())
def test_a_text_that_is_not_maps_is_refused_with_line_and_reason(
    text: bytes, number: int, reason: str
) -> None:
    with pytest.raises(ValueError, match=f"^line {number} of the maps .*{reason}") as caught:
        Process.from_maps(text)
    lines = text.split(b"\n")
    assert repr(lines[number - 1])[2:-1] in str(caught.value), "the message shows the line"


@given(cut=st.integers(1, len(ONE + TWO + STACK) - 1))
def test_any_text_cut_off_is_refused_unless_at_a_line(cut: int) -> None:
    text = ONE + TWO + STACK
    if text[cut - 1 : cut] == b"\n":
        assert text_of(Process.from_maps(text[:cut])) == text[:cut]
    else:
        with pytest.raises(ValueError, match=f"line {text[:cut].count(10) + 1} of the maps"):
            Process.from_maps(text[:cut])


@pytest.mark.parametrize("text", [b"", GATE_LINE, ONE, ONE + TWO + STACK + GATE_LINE])
def test_a_process_shows_the_text_that_it_was_made_from(text: bytes) -> None:
    assert text_of(Process.from_maps(text)) == text


pages = st.integers(0, 40)
lengths = st.integers(1, 6)
prots = st.sampled_from([PROT_NONE, PROT_READ, RW, PROT_READ | PROT_EXEC])
kinds = st.sampled_from([MAP_PRIVATE, MAP_SHARED])
operations = st.one_of(
    st.tuples(st.just("map"), pages, lengths, prots, kinds),
    st.tuples(st.just("file"), pages, lengths, prots, kinds, st.sampled_from([3, 4, 5])),
    st.tuples(st.just("protect"), pages, lengths, prots),
    st.tuples(st.just("unmap"), pages, lengths),
    st.tuples(st.just("name"), pages, lengths, st.sampled_from([b"name", b"other name", None])),
    st.tuples(st.just("shm"), pages),
    st.tuples(st.just("brk"), lengths),
)


def some_process() -> Process:
    process = Process(MmStruct(gate_vma=True))
    process.mm.start_brk = process.mm.brk = addr(50)
    names = (b"/lib/a b", b"/tmp/new\nline (deleted)", b"/memfd:x (deleted)")
    process.files = {fd: VmFile(name, Device(8, 1), fd) for fd, name in enumerate(names, 3)}
    return process


def make(process: Process, operation: tuple[Any, ...]) -> None:
    name, *arguments = operation
    if name == "brk":
        process.brk(addr(50 + arguments[0]))
        return
    if name == "shm":
        process.shmat(ShmSegment(2 * P, key=1), addr(arguments[0]), 0o40000)
        return
    first, length, *more = arguments
    where = addr(first), length * P
    if name == "map":
        process.mmap(*where, more[0], more[1] | MAP_ANONYMOUS | MAP_FIXED)
    elif name == "file":
        process.mmap(*where, more[0], more[1] | MAP_FIXED, more[2], first * P)
    elif name == "protect":
        process.mprotect(*where, more[0])
    elif name == "unmap":
        process.munmap(*where)
    else:
        process.set_anon_name(*where, more[0])


@settings(max_examples=150, derandomize=True)
@given(script=st.lists(operations, max_size=20))
def test_any_process_comes_back_from_its_text_and_places_alike(
    script: list[tuple[Any, ...]],
) -> None:
    process = some_process()
    for operation in script:
        try:
            make(process, operation)
        except OSError:
            continue
    text = text_of(process)
    mm = process.mm
    heap = mm.start_brk, mm.brk
    again = Process(mm_from_maps(text, mmap_base=mm.mmap_base, heap=heap))
    mmap_read_lock(again.mm)
    again.mm.check_invariants()
    mmap_read_unlock(again.mm)
    assert text_of(again) == text
    assert (again.mm.map_count, again.mm.total_vm) == (mm.map_count, mm.total_vm)
    for length in (P, 5 * P, PMD_SIZE, P):
        flags = MAP_PRIVATE | MAP_ANONYMOUS
        assert again.mmap(0, length, PROT_NONE, flags) == process.mmap(0, length, PROT_NONE, flags)


BASES = {
    "nothing placed": (b"", Limits(), True, pick_mmap_base(Limits())),
    "the highest ends there": (ONE + TWO + STACK, Limits(), True, 0x7F00_0000_3000),
    "vm.mmap_rnd_bits is 32": (
        b"655555553000-655555554000 r-xp 00000000 00:00 0 \n"
        b"7a0000200000-7a0000202000 r--p 00000000 00:00 0 \n" + STACK,
        Limits(),
        True,
        0x7A00_0020_2000,
    ),
    "a program is not placed": (
        b"555555554000-555555555000 r--p 00000000 00:00 0 \n" + STACK,
        Limits(),
        True,
        pick_mmap_base(Limits()),
    ),
    "any stack": (
        b"155555554000-155555555000 r--p 00000000 00:00 0 \n"
        b"555555554000-555555555000 r--p 00000000 00:00 0 \n",
        Limits(rlimit_stack=RLIM_INFINITY),
        True,
        0x1555_5555_5000,
    ),
    "bottom up": (
        b"2aab00000000-2aab00001000 r--p 00000000 00:00 0 \n" + ONE,
        Limits(),
        False,
        0x2AAB_0000_0000,
    ),
    "bottom up, nothing placed": (STACK, Limits(), False, legacy_base()),
}


@pytest.mark.parametrize(("text", "limits", "topdown", "base"), BASES.values(), ids=BASES.keys())
def test_mmap_base_is_where_the_placed_mappings_end(
    text: bytes, limits: Limits | None, topdown: bool, base: int
) -> None:
    mm = Process.from_maps(text, limits=limits, topdown=topdown).mm
    assert (mm.mmap_base, mm.topdown) == (base, topdown)
