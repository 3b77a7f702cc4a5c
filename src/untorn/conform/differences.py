"""What is known to differ between kernels: one table, by the releases that it holds for."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from untorn.conform.operations import Operation
from untorn.live.maps_locking import parse_release

MODELLED = 6, 17
"""The first release that seals, places, moves and merges as the engine does."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Operations that some releases do another way than the engine; they are left out there.

    Attributes:
        since, until: The releases: from the first, up to and without the second.
        reason: What these releases do, and why.
        concerns: Whether it is about an operation.
    """

    since: tuple[int, int]
    until: tuple[int, int]
    reason: str
    concerns: Callable[[Operation], bool]


DIFFERENCES: tuple[Difference, ...] = ()


def known_differences(release: tuple[int, int] | None = None) -> list[Difference]:
    """Return what holds for a release; None: the running one."""
    release = release or parse_release(os.uname().release)
    return [each for each in DIFFERENCES if each.since <= release < each.until]
