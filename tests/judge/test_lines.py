"""Lines of maps, records of smaps and answers of queries say the same of the same VMAs."""

import os

import pytest

from tests.helpers.engine import read_all
from untorn.judge.line import Line, line_of_query, parse_line, parse_maps, parse_smaps
from untorn.maps.maps_file import MapsFile
from untorn.maps.page import TASK_SIZE
from untorn.maps.procmap_query import QueryFlags
from untorn.race.tearing import Split
from untorn.reader.access.maps_file import LiveMapsFile
from untorn.syscalls import Process


def walk(file: MapsFile) -> tuple[Line, ...]:
    lines, at = [], 0
    while True:
        try:
            lines.append(line_of_query(file.query(at, QueryFlags.COVERING_OR_NEXT_VMA)))
        except FileNotFoundError:
            return tuple(lines)
        at = lines[-1].end


def test_a_line_is_read_whole() -> None:
    text = (
        b"7f0000000000-7f0000001000 r-xs 00001000 08:01 77                         /a  b\\012c \n"
    )
    assert parse_line(text) == Line(
        0x7F0000000000, 0x7F0000001000, rb"r-xs 00001000 08:01 77 /a  b\012c "
    )
    assert str(parse_line(b"00001000-00002000 ---p 00000000 00:00 0 \n")) == (
        "00001000-00002000 ---p 00000000 00:00 0"
    )


def test_what_is_no_line_is_refused() -> None:
    for text in b"", b"Rss: 4 kB\n", b"12-zz r--p\n":
        with pytest.raises(ValueError, match=r"."):
            parse_line(text)


def test_maps_smaps_and_queries_of_the_engine_agree() -> None:
    process = Process()
    Split().set_up(process)
    with process.open_maps() as maps, process.open_smaps() as smaps:
        text = read_all(maps)
        lines = parse_maps(text)
        assert b"[vsyscall]" in text
        assert len(lines) == text.count(b"\n") - 1
        assert parse_smaps(read_all(smaps)) == lines
        assert walk(maps) == lines


@pytest.mark.live
def test_maps_smaps_and_queries_of_this_kernel_agree() -> None:
    # Only files: the rest of this process's own map may change while it is read.
    with LiveMapsFile(os.getpid()) as maps, LiveMapsFile(os.getpid(), "smaps") as smaps:
        lines = {line for line in parse_maps(read_all(maps)) if b"/" in line.what}
        assert lines
        assert all(line.end <= TASK_SIZE for line in lines)
        assert lines <= set(parse_smaps(read_all(smaps)))
        try:
            found = set(walk(maps))
        except OSError as error:
            pytest.skip(f"no PROCMAP_QUERY: {error}")
        assert lines <= found
