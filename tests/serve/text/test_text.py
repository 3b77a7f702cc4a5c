"""A text is read like the kernel's file: the same reads return as much."""

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from untorn.fs.seq_file import SeqFile
from untorn.serve.text.text import Text

SIZES = (1, 10, 300, 4000, 4095, 4096, 9000, 65536)
RECORDS = st.lists(st.integers(1, 60).map(lambda size: b"x" * (size - 1) + b"\n"), max_size=30)


@pytest.fixture(scope="module")
def still() -> Iterator[int]:
    """A process that waits."""
    with subprocess.Popen("cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as cat:
        assert cat.stdin
        assert cat.stdout
        cat.stdin.write(b"x")
        assert cat.stdout.read(1) == b"x", "it is past its beginning"
        yield cat.pid


@pytest.mark.live
@pytest.mark.parametrize(
    ("name", "cut"),
    [("maps", Text.of_lines), ("smaps", Text.of_smaps), ("smaps_rollup", Text.of_smaps)],
)
def test_reads_return_as_much_as_those_of_the_kernels_file(
    still: int, name: str, cut: Callable[[bytes], Text]
) -> None:
    path = Path(f"/proc/{still}/{name}")
    whole = path.read_bytes()
    text = cut(whole)
    assert bytes(text) == whole
    ours = SeqFile(text)
    chance = random.Random(1)
    fd, at = os.open(path, os.O_RDONLY), 0
    try:
        for _ in range(500):
            if chance.random() < 0.1:
                at = chance.choice([0, chance.randrange(len(whole) + 10)])
            size = chance.choice([*SIZES, chance.randrange(1, 200)])
            expected = len(os.pread(fd, size, at))  # numbers in it may change, but not their width
            assert ours.pread(size, at) == whole[at : at + expected]
            at += expected
    finally:
        os.close(fd)


@given(RECORDS, st.sampled_from(SIZES[1:]))
def test_reads_to_the_end_return_all_of_it(records: list[bytes], size: int) -> None:
    text, found = Text(records), b""
    file = SeqFile(text)
    while part := file.pread(size, len(found)):
        found += part
    assert found == bytes(text) == b"".join(records)


@given(RECORDS)
def test_lines_are_told_apart_by_newlines_alone(records: list[bytes]) -> None:
    lines = [line.replace(b"x", b"\r\x0b\x85") for line in records]
    assert Text.of_lines(b"".join(lines)).records == lines


def test_what_many_read_at_a_time_each_reads_by_itself() -> None:
    text = Text([b"first\n", b"second\n"])
    one, other = SeqFile(text), SeqFile(text)
    assert one.pread(6, 0) == b"first\n"
    assert other.pread(100, 0) == b"first\nsecond\n"
    assert one.pread(100, 6) == b"second\n"
