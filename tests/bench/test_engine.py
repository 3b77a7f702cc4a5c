"""The parts of a run of target engine."""

import os

import pytest

from untorn.bench.engine_run import Threads, map_region, prepare_calls
from untorn.maps.page import PAGE_SIZE
from untorn.syscalls import Process

CPU = min(os.sched_getaffinity(0))


def test_a_page_mapped_anew_is_part_of_the_region_again() -> None:
    process = Process()
    base = map_region(process, 8 * PAGE_SIZE)
    updates, _ = prepare_calls(process)
    counts = []
    updates.page.value = base + PAGE_SIZE
    for call, arguments in (updates.unmap, updates.map):
        call(*arguments)
        counts.append(process.mm.map_count)
    assert counts == [2, 1]


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
