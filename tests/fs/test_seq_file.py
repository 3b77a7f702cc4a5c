"""seq_file against that of the running kernel: same lines, same reads, same bytes."""

import errno
import random
import subprocess
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from untorn.fs import seq_file
from untorn.fs.seq_file import SEEK_CUR, SeqFile
from untorn.locking import sync
from untorn.maps.page import PAGE_SIZE
from untorn.reader.access.live_maps_file import LiveMapsFile


class Lines:
    """SeqOperations over fixed lines."""

    def __init__(self, lines: list[bytes], fail_at: int | None = None) -> None:
        self.lines = lines
        self.fail_at = fail_at
        self.started = False

    def start(self, m: SeqFile[bytes]) -> bytes | None:
        assert not self.started
        self.started = True
        return self._at(m.index)

    def next(self, m: SeqFile[bytes]) -> bytes | None:
        assert self.started
        m.index += 1
        return self._at(m.index)

    def stop(self, m: SeqFile[bytes]) -> None:
        assert self.started
        self.started = False

    def show(self, record: bytes) -> bytes:
        return record

    def _at(self, index: int) -> bytes | None:
        if index == self.fail_at:
            raise InterruptedError(errno.EINTR, "killed")
        return self.lines[index] if index < len(self.lines) else None


SLEEPER = """
import mmap, sys
keep = [mmap.mmap(-1, 4096 * (1 + n % 3), prot=1 + n % 2 * 2) for n in range(400)]
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def sleeper() -> Iterator[int]:
    """Start a process with a few hundred VMAs, whose maps do not change."""
    with subprocess.Popen(
        [sys.executable, "-c", SLEEPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid


@pytest.fixture
def pair(sleeper: int) -> Iterator[tuple[LiveMapsFile, SeqFile[bytes]]]:
    """Return the kernel's file, and the engine's over the same lines."""
    with LiveMapsFile(sleeper) as file:
        text = b""
        while chunk := file.read(PAGE_SIZE):
            text += chunk
    with LiveMapsFile(sleeper) as file:
        yield file, SeqFile(Lines(text.splitlines(keepends=True)))


@pytest.mark.live
@pytest.mark.parametrize("size", [1, 10, 100, 1000, 4095, 4096, 65536])
def test_reads_of_one_size_return_what_the_kernel_returns(
    pair: tuple[LiveMapsFile, SeqFile[bytes]], size: int
) -> None:
    kernel, ours = pair
    for _ in range(200):
        expected = kernel.read(size)
        assert ours.read(size) == expected


@pytest.mark.live
@pytest.mark.parametrize("seed", range(20))
def test_any_reads_and_seeks_return_what_the_kernel_returns(
    pair: tuple[LiveMapsFile, SeqFile[bytes]], seed: int
) -> None:
    chance = random.Random(seed)
    kernel, ours = pair
    for _ in range(60):
        if chance.random() < 0.2:
            offset, whence = chance.choice([(0, 0), (chance.randrange(60_000), 0), (37, SEEK_CUR)])
            assert ours.seek(offset, whence) == kernel.seek(offset, whence)
        size = chance.choice([1, 10, 300, 4000, 4096, 9000, 65536])
        assert ours.read(size) == kernel.read(size)


@pytest.mark.live
@pytest.mark.parametrize(("offset", "whence"), [(-1, 0), (-(10**9), SEEK_CUR), (0, 2)])
def test_seeks_that_the_kernel_refuses_are_refused(
    pair: tuple[LiveMapsFile, SeqFile[bytes]], offset: int, whence: int
) -> None:
    for file in pair:
        with pytest.raises(OSError, match="Invalid argument") as caught:
            file.seek(offset, whence)
        assert caught.value.errno == errno.EINVAL


def test_a_fill_holds_whole_lines_and_less_than_a_page() -> None:
    file = SeqFile(Lines([b"x" * 99 + b"\n"] * 100))
    assert [len(file.read(65536)) for _ in range(4)] == [4000, 4000, 2000, 0]


def test_leftovers_come_first_and_a_new_fill_after_them() -> None:
    file = SeqFile(Lines([b"%03d\n" % n for n in range(2000)]))
    assert file.read(3) == b"000"
    after = file.read(65536)
    assert after[:5] == b"\n001\n"
    assert len(after) == 4 + 4092 - 3 - 1, "the rest of a short fill, then a whole one"


def test_a_record_larger_than_the_buffer_doubles_it_for_good() -> None:
    long = b"y" * 9000
    file = SeqFile(Lines([long, *[b"z" * 1000] * 30]))
    assert file.read(1 << 16) == long + b"z" * 7000
    assert len(file.read(1 << 16)) == 16000


def test_an_error_at_the_first_record_is_raised_and_everything_let_go() -> None:
    lines = Lines([b"a\n"], fail_at=0)
    with pytest.raises(InterruptedError):
        SeqFile(lines).read(100)
    assert not lines.started


def test_an_error_later_in_a_fill_ends_the_fill_and_comes_with_the_next() -> None:
    lines = Lines([b"a\n", b"b\n", b"c\n"], fail_at=2)
    file = SeqFile(lines)
    assert file.read(100) == b"a\nb\n"
    assert not lines.started
    with pytest.raises(InterruptedError):
        file.read(100)


def test_a_failed_seek_goes_back_to_the_start() -> None:
    lines = Lines([b"a\n"] * 9, fail_at=4)
    file = SeqFile(lines)
    file.read(2)
    with pytest.raises(InterruptedError):
        file.seek(15)
    assert file.seek(0, SEEK_CUR) == 0
    assert not lines.started


def test_ctrl_c_on_the_way_into_a_read_leaves_the_file_usable() -> None:
    file = SeqFile(Lines([b"a\n"]))

    def interrupt(frame: FrameType, event: str, arg: object) -> Any:
        here = frame.f_code.co_filename == seq_file.__file__
        if here and event == "return" and frame.f_code.co_name == "__enter__":
            raise KeyboardInterrupt
        return interrupt

    tracer = sys.gettrace()
    sys.settrace(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            file.read(9)
    finally:
        sys.settrace(tracer)
    sync.current().held_locks = ()
    assert not file._mutex.locked()
    assert file.read(9) == b"a\n"


def test_pread_leaves_the_position() -> None:
    file = SeqFile(Lines([b"%d\n" % n for n in range(10)]))
    assert file.read(2) == b"0\n"
    assert file.pread(4, 10) == b"5\n6\n"
    assert file.read(2) == b"1\n"
    for offset, size in ((-1, 5), (0, -1)):
        with pytest.raises(OSError, match="Invalid"):
            file.pread(size, offset)


def test_the_end_stays_the_end_until_a_seek_to_the_start() -> None:
    lines = Lines([b"a\n"])
    file = SeqFile(lines)
    assert [file.read(9), file.read(9)] == [b"a\n", b""]
    lines.lines = [b"a\n", b"b\n"]
    file.seek(0)
    assert file.read(9) == b"a\nb\n"
