"""What loads the second CPU, on any target.

A scanner reads the map again and again, like a monitor; a busy task, of higher priority, preempts
it in the middle of a pass.
"""

import time
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from untorn.maps.maps_file import MapsFile
from untorn.maps.procmap_query import SIZE

PAUSE = 0.001
"""Seconds of sleep between two busy periods."""

T = TypeVar("T")
Pass = Callable[[T], Iterator[int]]
"""One pass over the map of an open T; yields the bytes of each call."""


def read_text(file: MapsFile) -> Iterator[int]:
    """Read the file from start to end."""
    return map(len, file.fills())


def walk_by_ioctl(file: MapsFile) -> Iterator[int]:
    """Ask for one VMA after the other, names included."""
    return (SIZE + len(vma.entry.name) for vma in file.walk())


class StopFlag(Protocol):
    """Says when to end."""

    requested: bool


def scan_until_stopped(file: T, one_pass: Pass[T], stop: StopFlag) -> tuple[int, int]:
    """Make passes over the map until told to stop; return whole passes and bytes."""
    scans = total = 0
    while not stop.requested:
        for size in one_pass(file):
            total += size
            if stop.requested:
                break
        else:
            scans += 1
    return scans, total


def spin_and_pause(busyduration_ns: int, stop: StopFlag) -> None:
    """Spin for some nanoseconds, sleep a millisecond, until told to stop."""
    while not stop.requested:
        end = time.perf_counter_ns() + busyduration_ns
        while time.perf_counter_ns() < end:
            pass
        time.sleep(PAUSE)
