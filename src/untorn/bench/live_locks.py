"""How often a reader takes the mmap_lock of the process that it reads, counted by tracing.

Two processes: one of many VMAs, which does nothing but be read, and one that reads it once.
"""

import os

from untorn.bench.here import NORMAL_NICE, Cpus
from untorn.bench.live_scanner import READERS
from untorn.bench.lock_count import map_pages
from untorn.processes.child import send, wait_for_start
from untorn.processes.children import START_TIMEOUT, STOP_TIMEOUT, Children, await_ready
from untorn.processes.lock_trace import counted
from untorn.processes.process_under_test import ThisProcess
from untorn.reader.access.live_maps_file import LiveMapsFile


def count_locks(cpus: Cpus, reader: str) -> dict[str, int]:
    """Return the calls of a reader's pass, and how often they took the other's mmap_lock.

    Raises:
        OutOfReachError: This machine, kernel or user cannot do it.
    """
    with Children() as children:
        watched = children.add(be_watched, cpus.mapper, NORMAL_NICE)
        await_ready([watched])
        counter = children.add(
            count,
            cpus.scanners,
            NORMAL_NICE,
            patience=STOP_TIMEOUT,  # to remove its trace
            pid=watched.pid,
            reader=reader,
        )
        return counter.receive(START_TIMEOUT)


def be_watched() -> None:
    """Become a process of many VMAs, and stay until asked to end."""
    map_pages(ThisProcess(), count_vmas)
    wait_for_start()


def count_vmas() -> int:
    """Return the number of lines of this process's maps."""
    with LiveMapsFile(os.getpid()) as file:
        return sum(fill.count(b"\n") for fill in file.fills())


def count(pid: int, reader: str) -> None:
    """Make a pass over a process's map; send the calls and how often they took its mmap_lock."""
    opener, one_pass = READERS[reader]
    with opener(pid) as file:
        sum(one_pass(file))  # what only a first pass needs, such as page faults, is not counted
        with counted() as trace:
            calls = sum(1 for _ in one_pass(file))
    send(calls=calls, acquisitions=trace.of_others)
