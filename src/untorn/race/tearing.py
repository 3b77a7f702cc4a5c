"""The three writers of the kernel's own race test: they tear a VMA apart and mend it.

The region is a row of VMAs of three pages each, with alternating protections RW and R, so that
neighbours do not merge; a round changes one of them. By choosing the site, a test chooses whether
the line of that VMA stands at the end of a fill or inside one.
Compare tools/testing/selftests/proc/proc-maps-race.c.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from untorn.judge.history import Range
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mman import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
)
from untorn.processes.process_under_test import ProcessUnderTest
from untorn.race.scenario import Site

PAGES = 3
"""Pages of each VMA."""
SIZE = PAGES * PAGE_SIZE
VMA_COUNT = PAGE_SIZE // 32 + 1
"""Enough that their lines, of at least 32 bytes each, do not fit into one fill."""
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS
_PROTECTIONS = PROT_READ | PROT_WRITE, PROT_READ


def reserve(process: ProcessUnderTest, size: int) -> Range:
    """Map size bytes with PROT_NONE, and a page before and after that keeps it.

    Other mappings of the process can neither lie in the region nor merge with it.
    """
    flags = ANONYMOUS | MAP_NORESERVE
    start = process.mmap(0, size + 2 * PAGE_SIZE, PROT_NONE, flags)
    return start, start + size + 2 * PAGE_SIZE


class Tearing(ABC):
    """What the three writers have in common.

    Attributes:
        name: What reports call it.
        leaves_rest: Whether a round leaves a piece mapped after the VMA's first page.
    """

    name: ClassVar[str]
    leaves_rest: ClassVar[bool] = True

    def set_up(self, process: ProcessUnderTest) -> Range:
        """Map the VMAs."""
        region = reserve(process, VMA_COUNT * SIZE)
        for number in range(VMA_COUNT):
            vma = self.vma(region, number)
            process.mmap(vma.addr, SIZE, vma.prot, ANONYMOUS | MAP_FIXED)
        return region

    def vma(self, region: Range, number: int) -> Site:
        """Return where a VMA lies, from 0 in address order, and its protection."""
        return Site(region[0] + PAGE_SIZE + number * SIZE, _PROTECTIONS[number % 2])

    def site(self, region: Range) -> Site:
        """Return one of the first VMAs: one fill shows it with its neighbours."""
        return self.vma(region, 2)

    def writers(self) -> "tuple[Tearing]":
        """Return this scenario alone."""
        return (self,)

    def solid(self, region: Range, site: Site) -> tuple[Range, ...]:
        """Return everything."""
        return (region,)

    @abstractmethod
    def modify(self, process: ProcessUnderTest, site: Site) -> None:
        """Tear the VMA at a site apart."""

    @abstractmethod
    def restore(self, process: ProcessUnderTest, site: Site) -> None:
        """Mend it."""


@dataclass(frozen=True, slots=True)
class Split(Tearing):
    """Map the first page anew without rights, and back: a split and a merge."""

    name: ClassVar[str] = "split"

    def modify(self, process: ProcessUnderTest, site: Site) -> None:
        """Split it."""
        process.mmap(site.addr, PAGE_SIZE, PROT_NONE, ANONYMOUS | MAP_FIXED)

    def restore(self, process: ProcessUnderTest, site: Site) -> None:
        """Merge it."""
        process.mmap(site.addr, PAGE_SIZE, site.prot, ANONYMOUS | MAP_FIXED)


@dataclass(frozen=True, slots=True)
class Resize(Tearing):
    """Shrink the VMA to one page by mremap, and let it grow again."""

    name: ClassVar[str] = "resize"
    leaves_rest: ClassVar[bool] = False

    def modify(self, process: ProcessUnderTest, site: Site) -> None:
        """Shrink it."""
        process.mremap(site.addr, SIZE, PAGE_SIZE)

    def restore(self, process: ProcessUnderTest, site: Site) -> None:
        """Let it grow."""
        process.mremap(site.addr, PAGE_SIZE, SIZE)

    def solid(self, region: Range, site: Site) -> tuple[Range, ...]:
        """Return all but the pages that are unmapped and mapped again."""
        return (region[0], site.addr + PAGE_SIZE), (site.addr + SIZE, region[1])


@dataclass(frozen=True, slots=True)
class Remap(Tearing):
    """Move the last page of the next VMA over the middle one (DONTUNMAP), and protect it back.

    The page moved over is unmapped for an instant.
    """

    name: ClassVar[str] = "remap"

    def modify(self, process: ProcessUnderTest, site: Site) -> None:
        """Move in a page with the neighbour's protection."""
        process.mremap(
            site.addr + SIZE + 2 * PAGE_SIZE,
            PAGE_SIZE,
            PAGE_SIZE,
            MREMAP_FIXED | MREMAP_MAYMOVE | MREMAP_DONTUNMAP,
            site.addr + PAGE_SIZE,
        )

    def restore(self, process: ProcessUnderTest, site: Site) -> None:
        """Give the page the protection of its neighbours again."""
        process.mprotect(site.addr + PAGE_SIZE, PAGE_SIZE, site.prot)

    def solid(self, region: Range, site: Site) -> tuple[Range, ...]:
        """Return all but the page that is moved over."""
        middle = site.addr + PAGE_SIZE
        return (region[0], middle), (middle + PAGE_SIZE, region[1])
