"""RandomWriter: random calls in a region most of which is mapped at every instant."""

import errno
from dataclasses import dataclass, field
from random import Random

from untorn.judge.history import Range
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mman import (
    MAP_FIXED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
)
from untorn.processes.process_under_test import ProcessUnderTest
from untorn.race.scenario import Site
from untorn.race.tearing import ANONYMOUS, reserve

SOLID_PAGES = 176
"""Enough pages that their VMAs need more than one leaf of the engine's tree."""
LOOSE_PAGES = 24
"""Too few pages for a real process to map anything else in a hole there: malloc maps more."""
_PROTECTIONS = PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC
_CALLS_BEFORE = 200
_REFUSED = errno.ENOMEM, errno.EFAULT, errno.EINVAL
"""Errors of calls on a range with a hole, of a move of nothing, or of a move onto itself."""


@dataclass(slots=True)
class RandomWriter:
    """Maps over and protects solid pages; also unmaps and moves loose ones.

    A round is two calls; the second does not take the first back.
    """

    seed: str
    name: str = "random"
    _chance: Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._chance = Random(self.seed)

    def set_up(self, process: ProcessUnderTest) -> Range:
        """Map the whole region, and make calls until it has many VMAs."""
        region = reserve(process, (SOLID_PAGES + LOOSE_PAGES) * PAGE_SIZE)
        for _ in range(_CALLS_BEFORE):
            self.modify(process, self.site(region))
        return region

    def site(self, region: Range) -> Site:
        """Return where the pages are."""
        return Site(region[0] + PAGE_SIZE)

    def modify(self, process: ProcessUnderTest, site: Site) -> None:
        """Make one call."""
        if self._chance.randrange(3):
            first = self._chance.randrange(SOLID_PAGES)
            size = self._pages(SOLID_PAGES - first)
            self._cover(process, site.addr + first * PAGE_SIZE, size)
            return
        try:
            self._write_loose(process, site.addr + SOLID_PAGES * PAGE_SIZE)
        except OSError as error:
            if error.errno not in _REFUSED:
                raise

    restore = modify

    def writers(self) -> "tuple[RandomWriter, RandomWriter]":
        """Return this scenario and a second one that makes other calls."""
        return self, RandomWriter(f"{self.seed}, second")

    def solid(self, region: Range, site: Site) -> tuple[Range, ...]:
        """Return the solid part."""
        return ((region[0], site.addr + SOLID_PAGES * PAGE_SIZE),)

    def _write_loose(self, process: ProcessUnderTest, base: int) -> None:
        first = self._chance.randrange(LOOSE_PAGES)
        left = LOOSE_PAGES - first
        addr, size = base + first * PAGE_SIZE, self._pages(left)
        kind = self._chance.randrange(5)
        if kind < 2:
            self._cover(process, addr, size)
        elif kind == 2:
            process.munmap(addr, size)
        elif kind == 3:
            process.mremap(addr, size, self._pages(left))
        else:
            to = base + self._chance.randrange(first + 1) * PAGE_SIZE
            process.mremap(addr, size, size, MREMAP_FIXED | MREMAP_MAYMOVE, to)

    def _cover(self, process: ProcessUnderTest, addr: int, size: int) -> None:
        prot = self._chance.choice(_PROTECTIONS)
        if self._chance.randrange(2):
            process.mmap(addr, size, prot, ANONYMOUS | MAP_FIXED)
        else:
            process.mprotect(addr, size, prot)

    def _pages(self, most: int) -> int:
        """Return the size in bytes of a random number of pages, usually few."""
        return min(self._chance.choice((1, 1, 2, 3, 8)), most) * PAGE_SIZE
