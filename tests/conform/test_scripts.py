"""Scripts of untorn conform: written and read back, made shorter and simpler; and its crowd."""

from hypothesis import given
from hypothesis import strategies as st

from untorn.conform.case_text import parse_script
from untorn.conform.files import FDS
from untorn.conform.operation import ARGUMENTS, CROWD, CROWD_END, LIMITS, Operation, crowd
from untorn.conform.script_text import (
    format_operation,
    format_script,
    simpler,
)
from untorn.conform.traced import minimal_elf
from untorn.mm.limits import Limits
from untorn.mm.mm_types import MmStruct
from untorn.mm.mman import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ
from untorn.syscalls import Process

registers = st.integers(-1, (1 << 64) - 1) | st.integers(-1, 1 << 12)
operations = st.sampled_from(sorted(ARGUMENTS)).flatmap(
    lambda name: st.builds(Operation, st.just(name), st.tuples(*[registers] * ARGUMENTS[name]))
)
READ_A_PAGE = Operation("mmap", (0x1000, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED, FDS["ONE"], 0))


@given(operations)
def test_what_is_spelled_is_read_again(operation: Operation) -> None:
    assert parse_script(format_operation(operation)) == [operation]


@given(st.lists(operations, max_size=5))
def test_a_script_is_read_again(made: list[Operation]) -> None:
    assert parse_script("\n".join(["", "# a remark", *format_script(made)])) == made


def test_flags_files_limits_advice_and_names_are_spelled_by_their_names() -> None:
    assert format_operation(READ_A_PAGE) == (
        "mmap(0x1000, 0x1000, PROT_READ, MAP_PRIVATE | MAP_FIXED, ONE, 0)"
    )
    assert (
        format_operation(Operation("setrlimit", (LIMITS.index("DATA"), -1)))
        == "setrlimit(RLIMIT_DATA, -1)"
    )
    assert format_operation(Operation("madvise", (0, 0, 4))) == "madvise(0, 0, MADV_DONTNEED)"
    name = minimal_elf.STRINGS[0].decode()
    assert (
        format_operation(Operation("set_anon_name", (0, 0, 0))) == f"set_anon_name(0, 0, {name!r})"
    )


def test_a_file_that_a_script_names_is_explained() -> None:
    assert list(format_script([READ_A_PAGE])) == ["# ONE: a file", format_operation(READ_A_PAGE)]


def test_fewer_flags_are_simpler() -> None:
    assert [each.arguments[2] for each in simpler(Operation("mprotect", (0, 0, 3)))] == [0, 1, 2]
    assert list(simpler(Operation("brk", (7,)))) == []


def test_a_crowd_leaves_so_much_room() -> None:
    mm = MmStruct(limits=Limits(max_map_count=40))
    process = Process(mm)
    process.mmap(0x10000, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED)
    for call in crowd(mm, 3):
        getattr(process, call.name)(*call.arguments)
    assert mm.map_count == 37
    assert all(start >= CROWD and end <= CROWD_END for start, end, _ in list(mm.mm_mt)[1:])
    assert list(crowd(mm, 3)) == []
