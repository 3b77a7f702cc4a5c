"""How often a reader takes mmap_lock: a figure that does not depend on the machine's load."""

from collections.abc import Callable
from dataclasses import dataclass

from untorn.maps.page import PAGE_SIZE
from untorn.mm.mman import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
)
from untorn.processes.process_under_test import ProcessUnderTest

VMAS = 2050
"""VMAs of the process that is read: a pass over them takes a good number of calls."""
_ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS
_PROTECTIONS = PROT_READ, PROT_READ | PROT_WRITE
"""Alternating, so that neighbours do not merge."""


@dataclass(frozen=True, slots=True)
class LockCount:
    """One pass of a reader over the map of a process of VMAS."""

    target: str
    reader: str
    variant: str
    calls: int
    """Calls that returned something, such as read(2)."""
    acquisitions: int
    """Times that the mmap_lock of the process was taken."""


def map_pages(process: ProcessUnderTest, count_vmas: Callable[[], int]) -> None:
    """Map pages, each a VMA, until the process has VMAS VMAs."""
    reserved = (VMAS + 2) * PAGE_SIZE
    page = process.mmap(0, reserved, PROT_NONE, _ANONYMOUS | MAP_NORESERVE)
    missing = 1  # the first splits off a page, which separates them from the mappings before
    while missing > 0:
        for _ in range(missing):
            page += PAGE_SIZE
            protection = _PROTECTIONS[page // PAGE_SIZE % 2]
            process.mmap(page, PAGE_SIZE, protection, _ANONYMOUS | MAP_FIXED)
        missing = VMAS - count_vmas()
