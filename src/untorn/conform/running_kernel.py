"""The running kernel as the oracle: whether it can be one, and where its release differs."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from untorn.conform.operation import Operation
from untorn.conform.traced.abi import X86_64, Abi
from untorn.errors import OutOfReachError
from untorn.maps.page import TASK_SIZE_5LEVEL
from untorn.mm.mm_types import MmStruct
from untorn.releases.release import FIRST, Release, running_release

FEATURES = {
    "transparent huge pages": Path("/sys/kernel/mm/transparent_hugepage"),
    "KSM": Path("/sys/kernel/mm/ksm"),
}
"""What the engine models, and files that show that a kernel has it."""


def check_machine() -> None:
    """Refuse a machine whose kernel the engine does not model.

    Raises:
        OutOfReachError: The engine does not model this kernel; the message says why.
    """
    system = os.uname()
    if sys.platform != "linux" or system.machine != "x86_64":
        raise OutOfReachError(f"the engine models x86-64 Linux, this is {system.machine}")
    if running_release() < FIRST:
        raise OutOfReachError(
            f"the engine models Linux {FIRST} and later, this is {system.release}"
        )
    for feature, evidence in FEATURES.items():
        if not evidence.exists():
            raise OutOfReachError(f"the engine models a kernel with {feature}, this one has none")


def has_five_levels() -> bool:
    """Return whether this kernel's page tables have five levels. Source: proc_cpuinfo(5), flags."""
    return "la57" in Path("/proc/cpuinfo").read_text().split()


def task_size_of(abi: Abi) -> int:
    """Return the first byte address that a program cannot have here."""
    return TASK_SIZE_5LEVEL if abi is X86_64 and has_five_levels() else abi.task_size


@dataclass(frozen=True, slots=True)
class KnownDifference:
    """Operations that some releases do differently than the engine; they are skipped there.

    Attributes:
        since, until: The releases: since the first, before the second.
        reason: What these releases do, and why.
        concerns: Returns whether an operation on an address space is concerned.
    """

    since: Release
    until: Release
    reason: str
    concerns: Callable[[MmStruct, Operation], bool]


def _orphans_huge_pages(mm: MmStruct, operation: Operation) -> bool:
    if operation.name != "orphan":
        return False
    return any(page.inode is None and page.mapcount > 1 for page in mm.page_table.huge.values())


DIFFERENCES = (
    KnownDifference(
        since=Release(6, 9),
        until=Release(7, 2),
        reason="a process that ends gives back the reservation of a huge page that a child still "
        "maps, and the child does so again; stable updates mend it "
        "(mm/hugetlb.c:__unmap_hugepage_range())",
        concerns=_orphans_huge_pages,
    ),
)
"""All known differences."""


def known_differences(release: Release) -> list[KnownDifference]:
    """Return the differences of a release."""
    return [each for each in DIFFERENCES if each.since <= release < each.until]
