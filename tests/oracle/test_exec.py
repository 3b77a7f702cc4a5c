"""A program that has just been executed: the same maps, to the byte, in engine and kernel.

Nothing is told to the engine but the program, its arguments and the limits.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.engine import text_of
from tests.helpers.smaps_records import records
from tests.oracle.elf_files import ET_DYN, ET_EXEC, write_program
from tests.oracle.executing import FILENAME, Executing, engine_process, load, started
from tests.oracle.kernel_process import why_not
from tests.oracle.worlds import ANONYMOUS, RW
from untorn.conform.traced import minimal_elf
from untorn.conform.traced.minimal_child import MinimalChild
from untorn.conform.traced.open_file import file_facts, vm_file
from untorn.errors import OutOfReachError
from untorn.fs.binfmt_elf import Program, Segment
from untorn.maps.page import PAGE_SIZE, PMD_SIZE
from untorn.mm.limits import RLIM_INFINITY
from untorn.mm.mman import PROT_EXEC, PROT_NONE, PROT_READ
from untorn.syscalls import Process

pytestmark = pytest.mark.live

P = PAGE_SIZE
READ, CODE = PROT_READ, PROT_READ | PROT_EXEC


def both(
    path: Path, argv: list[bytes], envp: list[bytes] | None = None, stack: int | None = None
) -> tuple[Process, Executing]:
    """Execute a program in both worlds, without randomization; the child is to be closed."""
    envp = envp or []
    child = started(path)
    try:
        limits: dict[str, Any] = {} if stack is None else {"rlimit_stack": stack}
        engine = engine_process(child, **limits)
        if stack is not None:
            child.set_limit("STACK", -1 if stack == RLIM_INFINITY else stack)
        assert child.execute(argv, envp) == 0
        program, interpreter = load(path)
        engine.execve(program, argv, envp, interpreter=interpreter, filename=FILENAME)
    except BaseException:
        child.close()
        raise
    return engine, child


def assert_same(engine: Process, child: Executing) -> None:
    """Compare maps, the stack pointer, the data, and what is resident of memory."""
    try:
        assert text_of(engine) == child.text("maps")
        assert (engine.mm.start_stack, engine.mm.data_size) == child.layout()
        memory = [own_memory(text) for text in (text_of(engine, "smaps"), child.text("smaps"))]
        assert memory[0] == memory[1]
    finally:
        child.close()


def own_memory(smaps: bytes) -> list[tuple[bytes, object]]:
    """Return the records, as far as the kernel itself and not some page cache decides on them."""
    return [(r.line, r.only(("Anonymous", "Locked", "VmFlags"))) for r in records(smaps)]


def named(name: str) -> Path:
    path = Path(name)
    if not path.exists():
        pytest.skip(f"there is no {name}")
    return path


@pytest.mark.parametrize("program", ["/bin/cat", "/bin/sh", os.path.realpath(sys.executable)])
def test_a_program_of_this_machine_with_its_interpreter(program: str) -> None:
    path = named(program)
    if load(path)[1] is None:
        pytest.skip("it has no interpreter")
    assert_same(*both(path, [b"program", b"an argument"], [b"HOME=/", b"LANG=C"]))


IMAGES = {
    "one page": (ET_EXEC, [Segment(0, 0x40_0000, 200, 200, CODE)]),
    "data": (ET_EXEC, [Segment(0, 0x40_0000, P, P, CODE), Segment(P, 0x40_1000, 100, 100, RW)]),
    "zeros in a page": (
        ET_EXEC,
        [Segment(0, 0x40_0000, P, P, CODE), Segment(P, 0x40_1000, 100, 200, RW)],
    ),
    "zeros in pages": (
        ET_EXEC,
        [Segment(0, 0x40_0000, P, P, CODE), Segment(P + 16, 0x40_2010, 100, 5 * P, RW)],
    ),
    "zeros only": (
        ET_EXEC,
        [Segment(0, 0x40_0000, P, P, CODE), Segment(P, 0x40_4000, 0, 2 * P + 1, RW)],
    ),
    "zeros to execute": (
        ET_EXEC,
        [Segment(0, 0x40_0000, P, P, CODE), Segment(P, 0x40_1000, 1, 2 * P, RW | PROT_EXEC)],
    ),
    "zeros behind what is read-only": (
        ET_EXEC,
        [Segment(0, 0x40_0000, P, P, CODE), Segment(P, 0x40_1000, P, 3 * P, READ)],
    ),
    "far apart": (
        ET_EXEC,
        [Segment(0, 0x40_0000, P, P, READ), Segment(P, 0x6000_0000, 2 * P, 2 * P, CODE)],
    ),
    "anywhere, no interpreter": (
        ET_DYN,
        [Segment(0, 0, P, P, CODE), Segment(P + 8, 3 * P + 8, P, 3 * P, RW)],
    ),
    "anywhere but not at 0": (
        ET_DYN,
        [Segment(0, 0x10_0000, P, P, CODE), Segment(P, 0x10_1000, P, P, RW)],
    ),
}


@pytest.mark.parametrize("name", IMAGES)
def test_any_segments(name: str, tmp_path: Path) -> None:
    path = tmp_path / "program"
    write_program(path, *IMAGES[name])
    assert_same(*both(path, [b"program"]))


def test_a_program_that_may_go_anywhere_and_is_aligned(tmp_path: Path) -> None:
    path = tmp_path / "program"
    segments = [
        Segment(0, 0, P, P, CODE, PMD_SIZE),
        Segment(P, PMD_SIZE + P, P, 2 * P, RW, PMD_SIZE),
    ]
    interpreter = load(named("/bin/cat"))[1]
    assert interpreter is not None
    write_program(path, ET_DYN, segments, os.fsdecode(interpreter.file.path))
    assert_same(*both(path, [b"program"]))


@pytest.fixture
def minimal(tmp_path: Path) -> Path:
    path = tmp_path / "minimal"
    write_program(path, *IMAGES["one page"])
    return path


KIB = 1 << 10
ARGUMENTS = {
    "none": ([], []),
    "one": ([b"x"], []),
    "environment": ([b"name", b"-x"], [b"A=1"] * 7),
    "odd number": ([b""] * 9, [b"B"]),
    "a page": ([b"x" * (P - 60)], []),
    "pages": ([b"name", b"x" * 20_000], [b"y" * 5000] * 3),
    "many pointers": ([b"a"] * 3000, [b"E=" + b"v" * 100] * 3000),
}


@pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_any_arguments(arguments: tuple[list[bytes], list[bytes]], minimal: Path) -> None:
    assert_same(*both(minimal, *arguments))


STACKS = (
    16 * KIB,
    100 * KIB + 5,
    1 << 20,
    8 << 20,
    126 << 20,
    127 << 20,
    1 << 30,
    1 << 45,
    1 << 47,
)


@pytest.mark.parametrize("stack", [*STACKS, RLIM_INFINITY], ids=str)
def test_any_stack_limit(stack: int, minimal: Path) -> None:
    assert_same(*both(minimal, [b"program", b"x" * 9000], stack=stack))


@pytest.fixture
def legacy() -> Iterator[tuple[Process, MinimalChild]]:
    """Both worlds with the bottom-up layout, after an exec."""
    if reason := why_not():
        pytest.skip(reason)
    program = minimal_elf.in_memory()
    try:
        with MinimalChild((program,), topdown=False) as child:
            engine = engine_process(child, topdown=False)
            size = os.fstat(program).st_size
            segment = Segment(0, minimal_elf.BASE, size, size, CODE)
            file = vm_file(file_facts(program))
            file.inode = int(child.maps().split()[4])  # the child's own copy
            engine.execve(Program(file, (segment,)), [b"minimal"], filename=b"/dev/fd/400")
            yield engine, child
    except OutOfReachError as reason:
        pytest.skip(str(reason))
    finally:
        os.close(program)


def test_a_legacy_layout_places_from_the_bottom_up(legacy: tuple[Process, MinimalChild]) -> None:
    engine, child = legacy
    assert text_of(engine) == child.maps()
    for length in (P, 5 * P, P, PMD_SIZE, 3 * PMD_SIZE, P, PMD_SIZE - P, 8 * PMD_SIZE):
        for hint in (0, 1 << 44, 0x2AAA_0000_0000):
            ours = engine.mmap(hint, length, PROT_NONE, ANONYMOUS)
            assert ours == child.call("mmap", hint, length, PROT_NONE, ANONYMOUS, -1, 0)
    assert text_of(engine) == child.maps()
