"""What is known to differ between kernels: one table, by the releases that it holds for."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from untorn.conform.operation import Operation
from untorn.live.maps_locking import parse_release
from untorn.mm.mm_struct import MmStruct

MODELLED = 6, 17
"""The first release that seals, places, moves and merges as the engine does."""
Release = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Difference:
    """Operations that some releases do another way than the engine; they are left out there.

    Attributes:
        since, until: The releases: from the first, up to and without the second.
        reason: What these releases do, and why.
        concerns: Whether it is about an operation on an address space as it is.
    """

    since: Release
    until: Release
    reason: str
    concerns: Callable[[MmStruct, Operation], bool]


DIFFERENCES: tuple[Difference, ...] = ()


def known_differences(release: Release) -> list[Difference]:
    """Return what holds for a release."""
    return [each for each in DIFFERENCES if each.since <= release < each.until]


@cache
def running_release() -> Release:
    """Return the release of the running kernel."""
    return parse_release(os.uname().release)
