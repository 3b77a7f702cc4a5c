"""How much room the arguments of a program may take: the same errno from engine and kernel."""

import errno
from pathlib import Path

import pytest

from tests.helpers.engine import text_of
from tests.oracle.elf_files import ET_EXEC, write_program
from tests.oracle.executing import FILENAME, engine_process, load, started
from untorn.fs.binfmt_elf import Segment
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mman import PROT_EXEC, PROT_READ
from untorn.syscalls import Process

P = PAGE_SIZE
KIB = 1 << 10


@pytest.fixture
def minimal(tmp_path: Path) -> Path:
    path = tmp_path / "minimal"
    write_program(path, ET_EXEC, [Segment(0, 0x40_0000, 200, 200, PROT_READ | PROT_EXEC)])
    return path


def outcomes_of(minimal: Path, stack: int, argv: list[bytes]) -> tuple[int, int]:
    """Return the errno that engine and kernel have for these arguments, 0 for none."""
    with started(minimal) as child:
        engine = engine_process(child, rlimit_stack=stack)
        child.set_limit("STACK", stack)
        kernel = child.execute(argv, [])
    try:
        engine.execve(load(minimal)[0], argv, filename=FILENAME)
    except OSError as error:
        return error.errno or 0, kernel
    return 0, kernel


def arguments_of(size: int, number: int = 64) -> list[bytes]:
    """Return so many arguments that take size bytes, with NULs, along with the file's name."""
    size -= len(FILENAME) + 1
    each = size // number
    return [b"x" * (each - 1)] * (number - 1) + [b"x" * (size - each * (number - 1) - 1)]


@pytest.mark.live
@pytest.mark.parametrize(
    ("stack", "most"), [(64 << 20, 6 << 20), (1 << 20, 1 << 18), (200 * KIB, 1 << 17)]
)
def test_arguments_may_take_a_quarter_of_the_stack(stack: int, most: int, minimal: Path) -> None:
    strings = most - 8 * 64
    assert outcomes_of(minimal, stack, arguments_of(strings)) == (0, 0)
    too_many = errno.E2BIG, errno.E2BIG
    assert outcomes_of(minimal, stack, arguments_of(strings + 1)) == too_many


@pytest.mark.live
def test_arguments_must_fit_the_stack(minimal: Path) -> None:
    too_many = errno.E2BIG, errno.E2BIG
    for stack in (P, 4 * P, 20 * P + 100):
        assert outcomes_of(minimal, stack, arguments_of((stack & -P) - 8 + 1)) == too_many
    assert outcomes_of(minimal, 20 * P, arguments_of(19 * P)) == (0, 0)


@pytest.mark.live
def test_an_argument_is_shorter_than_32_pages(minimal: Path) -> None:
    assert outcomes_of(minimal, 8 << 20, [b"x" * (32 * P - 1)]) == (0, 0)
    assert outcomes_of(minimal, 8 << 20, [b"x" * 32 * P]) == (errno.E2BIG, errno.E2BIG)


def test_what_was_opened_before_shows_the_old_program_and_what_is_opened_now_the_new(
    minimal: Path,
) -> None:
    process = Process()
    process.mmap(0, P, PROT_READ, 0x22)
    before = process.open()
    text = before.read(1 << 16)
    before.seek(0)
    process.execve(load(minimal)[0], [b"minimal"])
    assert before.read(1 << 16) == b"", "nobody uses the old address space any longer"
    assert text_of(process) != text
    before.close()


def test_an_exec_that_fails_leaves_everything_as_it_was(minimal: Path) -> None:
    process = Process()
    process.mmap(0, P, PROT_READ, 0x22)
    text = text_of(process)
    with pytest.raises(OSError, match="Argument list too long"):
        process.execve(load(minimal)[0], [b"x" * 32 * P])
    assert text_of(process) == text
