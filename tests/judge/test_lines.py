"""Lines of maps, records of smaps and answers to queries agree about the same VMAs."""

import os

import pytest

from tests.helpers.engine import read_all
from untorn.judge.lines import parse_lines
from untorn.maps.entry import MapsEntry
from untorn.maps.maps_file import MapsFile
from untorn.maps.page import TASK_SIZE
from untorn.race.tearing import Split
from untorn.reader.access.live_maps_file import LiveMapsFile
from untorn.syscalls import Process


def walk(file: MapsFile) -> tuple[MapsEntry, ...]:
    return tuple(vma.entry for vma in file.walk())


def test_maps_smaps_and_queries_of_the_engine_agree() -> None:
    process = Process()
    Split().set_up(process)
    with process.open() as maps, process.open("smaps") as smaps:
        text = read_all(maps)
        lines = parse_lines(text)
        assert b"[vsyscall]" in text
        assert len(lines) == text.count(b"\n") - 1
        assert parse_lines(read_all(smaps), "smaps") == lines
        assert walk(maps) == lines


@pytest.mark.live
def test_maps_smaps_and_queries_of_this_kernel_agree() -> None:
    # Only files, because the rest of this process's map may change while we read it.
    with LiveMapsFile(os.getpid()) as maps, LiveMapsFile(os.getpid(), "smaps") as smaps:
        lines = {line for line in parse_lines(read_all(maps)) if b"/" in line.name}
        assert lines
        assert all(line.end <= TASK_SIZE for line in lines)
        assert lines <= set(parse_lines(read_all(smaps), "smaps"))
        try:
            found = set(walk(maps))
        except OSError as error:
            pytest.skip(f"no PROCMAP_QUERY: {error}")
        assert lines <= found
