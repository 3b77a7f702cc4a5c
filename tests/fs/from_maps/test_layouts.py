"""Maps of 32-bit processes, five levels and old kernels: modelled, or refused by name."""

import pytest

from tests.helpers.engine import text_of
from tests.helpers.maps_texts import GATE_LINE, line
from untorn.maps.page import (
    IA32_PAGE_OFFSET,
    IA32_PAGE_OFFSET_3GB,
    PAGE_SIZE,
    TASK_SIZE,
    TASK_SIZE_5LEVEL,
)
from untorn.mm.mman import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_GROWSDOWN,
    MAP_PRIVATE,
    MREMAP_MAYMOVE,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
)
from untorn.syscalls import Process

P = PAGE_SIZE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS
PROGRAM = line(0x0804_8000, P, b"/bin/old", b"r-xp", major=8, minor=1, inode=3)
COMPAT = (
    PROGRAM
    + line(0xF7F1_1000, 4 * P, b"[vvar]", b"r--p")
    + line(0xF7F1_7000, 2 * P, b"[vdso]", b"r-xp")
    + line(0xFFD5_E000, 33 * P, b"[stack]")
)
LESS = COMPAT.replace(b"ff", b"bf").replace(b"f7", b"b7")
KERNEL_32 = b"""\
0804b000-0806c000 rw-p 00000000 00:00 0          [heap]
b7604000-b7605000 ---p 00000000 00:00 0 
b7605000-b7e07000 rw-p 00000000 00:00 0          [stack:6594]
b7e07000-b7fab000 r-xp 00000000 08:01 265350     /lib/i386-linux-gnu/libc-2.15.so
"""  # noqa: W291
FIVE_LEVELS = b"""\
00ffffffffff0000-00ffffffffff1000 rw-p 00000000 00:00 0 
ff72000000000000-ff72000000001000 rw-p 00000000 00:00 0 
"""  # noqa: W291
VSYSCALL_EMULATE = b"""\
7ffc625cb000-7ffc625cd000 r-xp 00000000 00:00 0                          [vdso]
ffffffffff600000-ffffffffff601000 r-xp 00000000 00:00 0                  [vsyscall]
"""


@pytest.mark.parametrize(
    ("text", "task_size"), [(COMPAT, IA32_PAGE_OFFSET), (LESS, IA32_PAGE_OFFSET_3GB)]
)
def test_a_32_bit_process_is_known_by_its_stack_and_maps_below(text: bytes, task_size: int) -> None:
    process = Process.from_maps(text)
    assert process.mm.task_size == task_size
    assert text_of(process) == text
    with pytest.raises(OSError, match="Cannot allocate"):
        process.mmap(task_size, P, PROT_NONE, ANONYMOUS | MAP_FIXED)
    assert process.fork().mm.word_max == 0xFFFF_FFFF
    assert process.fork().mmap(0, P, PROT_NONE, ANONYMOUS) < task_size
    assert process.mmap(-P, P, PROT_NONE, ANONYMOUS) < task_size, "numbers have 32 bits"


@pytest.mark.parametrize(
    "text",
    [
        PROGRAM,
        line(0xF770_0000, P, b""),
        COMPAT[: COMPAT.index(b"ffd5")],
        LESS[: LESS.index(b"bfd5")],
    ],
    ids=["program", "one line", "no stack", "no stack, 3 GB"],
)
def test_what_may_be_of_32_or_64_bits_is_taken_for_neither_unless_told(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"32 bits.*task_size"):
        Process.from_maps(text)
    low = Process.from_maps(text, task_size=IA32_PAGE_OFFSET)
    assert low.mmap(0, P, PROT_NONE, ANONYMOUS) < IA32_PAGE_OFFSET
    high = Process.from_maps(text, task_size=TASK_SIZE)
    assert high.mmap(0, P, PROT_NONE, ANONYMOUS) > 1 << 46
    assert low.mm.task_size < high.mm.task_size


@pytest.mark.parametrize("text", [b"", PROGRAM + GATE_LINE, PROGRAM + line(1 << 32, P, b"")])
def test_what_only_a_64_bit_process_has_tells_that_it_is_one(text: bytes) -> None:
    assert Process.from_maps(text).mm.task_size == TASK_SIZE


@pytest.mark.parametrize("start", [TASK_SIZE - P, TASK_SIZE, TASK_SIZE_5LEVEL - 2 * P])
def test_what_lies_above_the_map_window_tells_that_there_are_five_levels(start: int) -> None:
    process = Process.from_maps(PROGRAM + line(start, 2 * P, b"") + GATE_LINE)
    assert process.mm.task_size == TASK_SIZE_5LEVEL
    assert text_of(process).splitlines()[1].startswith(b"%x-" % start)
    process.exit()
    assert process.mm.map_count == 0


@pytest.mark.parametrize("topdown", [True, False])
def test_only_a_hint_above_the_map_window_opens_what_lies_there(topdown: bool) -> None:
    process = Process.from_maps(PROGRAM + GATE_LINE, task_size=TASK_SIZE_5LEVEL, topdown=topdown)
    for hint in 0, TASK_SIZE - P, TASK_SIZE:
        got = process.mmap(hint, 2 * P, PROT_NONE, ANONYMOUS)
        assert got != hint
        assert got < TASK_SIZE
    free = TASK_SIZE + P
    assert process.mmap(free, P, PROT_NONE, ANONYMOUS) == free
    # That address is taken now, so the search covers the whole space from where it begins.
    got = process.mmap(free, P, PROT_NONE, ANONYMOUS)
    assert (got > free) == topdown
    above = process.mmap(TASK_SIZE_5LEVEL - P, P, PROT_NONE, ANONYMOUS | MAP_FIXED)
    assert above == TASK_SIZE_5LEVEL - P
    assert process.mremap(above, P, 2 * P, MREMAP_MAYMOVE) < TASK_SIZE


@pytest.mark.parametrize(
    ("top", "task_size", "pieces"),
    [
        (TASK_SIZE, TASK_SIZE, 1),
        (TASK_SIZE - 7 * P, TASK_SIZE, 2),
        (TASK_SIZE, TASK_SIZE_5LEVEL, 2),
        (IA32_PAGE_OFFSET, IA32_PAGE_OFFSET, 2),
    ],
)
def test_only_a_stack_that_no_exec_moved_joins_what_is_mapped_over_its_top(
    top: int, task_size: int, pieces: int
) -> None:
    stack = line(top - 33 * P, 33 * P, b"[stack]")
    process = Process.from_maps(PROGRAM + stack, task_size=task_size)
    flags = ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN
    process.mmap(top - P, P, PROT_READ | PROT_WRITE, flags)
    assert process.mm.map_count == 1 + pieces


REFUSED = {
    "32-bit kernel": (KERNEL_32, "^line 1 of the maps .*32-bit kernel writes it.*not modelled"),
    "32-bit kernel, 1 GB": (
        b"bf8eb000-bf90c000 rw-p 00000000 00:00 0          [stack]\n",
        "^line 1 of the maps .*32-bit kernel",
    ),
    "a thread's stack": (
        line(0x7F00_0000_0000, P, b"[stack:77]"),
        r"^line 1 of the maps has a name that is not modelled.*stack:77",
    ),
    "padded": (FIVE_LEVELS, "^line 1 of the maps is not as Linux writes it"),
    "across the border": (
        line(TASK_SIZE_5LEVEL - P, 2 * P, b""),
        "^line 1 .*is above what a process may map: no user space",
    ),
    "kernel address": (FIVE_LEVELS[57:], "^line 1 .*addresses of the kernel"),
    "between": (line(1 << 60, P, b""), "^line 1 .*no user space of x86-64 reaches so far"),
    "long vsyscall": (
        line(0xFFFF_FFFF_FF60_0000, 8 << 20, b"[vsyscall]", b"---p"),
        r"^line 1 .*: \[vsyscall\] must be the last line and one page",
    ),
    "unreadable vsyscall": (
        line(0xFFFF_FFFF_FF60_0000, P, b"[vsyscall]", b"---p"),
        r"^line 1 .*: \[vsyscall\] must be the last",
    ),
}


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_modelled_is_refused_by_name(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Process.from_maps(text)


TOLD = {
    "no such size": (1 << 30, "task_size=0x40000000 is not modelled; the engine knows"),
    "too small": (IA32_PAGE_OFFSET_3GB, "^line 2 .*is above what"),
}


@pytest.mark.parametrize(("task_size", "reason"), TOLD.values(), ids=TOLD.keys())
def test_what_the_text_contradicts_is_refused(task_size: int, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Process.from_maps(COMPAT, task_size=task_size)


def test_no_32_bit_process_has_a_gate() -> None:
    with pytest.raises(ValueError, match=r"end with \[vsyscall\]"):
        Process.from_maps(PROGRAM + GATE_LINE, task_size=IA32_PAGE_OFFSET)


def test_the_gate_of_an_emulated_vsyscall_is_kept_and_never_found_by_a_query() -> None:
    process = Process.from_maps(VSYSCALL_EMULATE)
    for each in (process, process.fork()):
        assert text_of(each) == VSYSCALL_EMULATE
        last = text_of(each, "smaps").rpartition(b"ffffffffff600000-")[2]
        assert last.startswith(b"ffffffffff601000 r-xp")
        assert last.endswith(b"VmFlags: rd ex \n")
        with each.open() as maps, pytest.raises(OSError, match="No such file"):
            maps.query(0xFFFF_FFFF_FF60_0000)
