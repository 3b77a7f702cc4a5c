"""The parts of a run of target engine."""

import os
import re

import pytest

from untorn.bench.engine import EngineBenchTarget
from untorn.bench.engine_run import Threads, map_region, prepare_calls
from untorn.bench.mapper import make_call
from untorn.bench.resident import make_resident
from untorn.bench.target import BenchOptions
from untorn.errors import OutOfReachError
from untorn.maps.page import PAGE_SIZE
from untorn.syscalls import Process

CPU = min(os.sched_getaffinity(0))


def test_a_page_mapped_anew_is_part_of_the_region_again() -> None:
    process = Process()
    base = map_region(process, 8 * PAGE_SIZE)
    calls = prepare_calls(process)
    counts = []
    for call in (calls.unmap, calls.map):
        make_call(calls.page, (base + PAGE_SIZE, call))
        counts.append(process.mm.map_count)
    assert counts == [2, 1]


def test_resident_memory_is_one_vma_and_no_part_of_the_region() -> None:
    process = Process()
    make_resident(process, 64 * PAGE_SIZE)
    map_region(process, 8 * PAGE_SIZE)
    with process.open("smaps", "mmap_lock") as file:
        rss = re.findall(rb"Rss: +(\d+) kB", b"".join(file.fills()))
    assert {b"256", b"32"} <= set(rss)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (BenchOptions(workload="fault"), "workload fault is for live and vm:KERNEL"),
        (BenchOptions(resident_mb=2, huge=True), "the engine has no huge pages"),
    ],
)
def test_what_the_engine_has_not_is_out_of_reach(options: BenchOptions, reason: str) -> None:
    with pytest.raises(OutOfReachError, match=reason):
        EngineBenchTarget().run("none", options, 0)


def test_what_a_thread_fails_with_is_raised_at_the_end() -> None:
    def fail() -> None:
        raise ValueError("no figures from this run")

    threads = Threads()
    threads.add(fail, CPU, 0)
    threads.add(lambda: None, CPU, 0)
    threads.go()
    with pytest.raises(ValueError, match="no figures"):
        threads.stop()


def test_a_thread_that_cannot_be_placed_fails_and_keeps_nobody_waiting() -> None:
    threads = Threads()
    threads.add(lambda: None, 1 << 15, 0)
    with pytest.raises(OSError, match=r"Invalid argument|too large"):
        threads.stop()
