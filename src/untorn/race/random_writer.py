"""RandomWriter: calls drawn by chance, in a region half of which is mapped at every instant."""

import errno
from dataclasses import dataclass, field
from random import Random

from untorn.judge.history import Range
from untorn.mm.mman import (
    MAP_FIXED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
)
from untorn.mm.page import PAGE_SIZE
from untorn.race.scenario import Place, ProcessUnderTest
from untorn.race.tearing import ANONYMOUS, reserve

SOLID_PAGES = LOOSE_PAGES = 24
_PROTECTIONS = PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC
_REFUSED = errno.ENOMEM, errno.EFAULT, errno.EINVAL
"""A hole in the range, or nothing to move, or a move onto itself."""


@dataclass(slots=True)
class RandomWriter:
    """Maps over and protects pages of the solid half; of the loose half, unmaps and moves too.

    A round is two calls, the second of which takes nothing back.
    """

    seed: str
    name: str = "random"
    _chance: Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._chance = Random(self.seed)

    def set_up(self, process: ProcessUnderTest) -> Range:
        """Map the solid half."""
        return reserve(process, (SOLID_PAGES + LOOSE_PAGES) * PAGE_SIZE)

    def place(self, region: Range) -> Place:
        """Return where the pages are."""
        return Place(region[0] + PAGE_SIZE)

    def modify(self, process: ProcessUnderTest, place: Place) -> None:
        """Make a call."""
        first = self._chance.randrange(SOLID_PAGES + LOOSE_PAGES)
        if first < SOLID_PAGES:
            self._write_solid(process, place.addr, first)
            return
        try:
            self._write_loose(process, place.addr, first)
        except OSError as error:
            if error.errno not in _REFUSED:
                raise

    restore = modify

    def solid(self, region: Range, place: Place) -> tuple[Range, ...]:
        """Return the solid half."""
        return ((region[0], place.addr + SOLID_PAGES * PAGE_SIZE),)

    def _write_solid(self, process: ProcessUnderTest, base: int, first: int) -> None:
        size = self._pages(SOLID_PAGES - first)
        self._cover(process, base + first * PAGE_SIZE, size, self._chance.randrange(2))

    def _write_loose(self, process: ProcessUnderTest, base: int, first: int) -> None:
        left = SOLID_PAGES + LOOSE_PAGES - first
        addr, size, kind = base + first * PAGE_SIZE, self._pages(left), self._chance.randrange(5)
        if kind < 2:
            self._cover(process, addr, size, kind)
        elif kind == 2:
            process.munmap(addr, size)
        elif kind == 3:
            process.mremap(addr, size, self._pages(left))
        else:
            page = self._chance.randrange(SOLID_PAGES, first + 1)
            flags = MREMAP_FIXED | MREMAP_MAYMOVE
            process.mremap(addr, size, size, flags, base + page * PAGE_SIZE)

    def _cover(self, process: ProcessUnderTest, addr: int, size: int, anew: int) -> None:
        prot = self._chance.choice(_PROTECTIONS)
        if anew:
            process.mmap(addr, size, prot, ANONYMOUS | MAP_FIXED)
        else:
            process.mprotect(addr, size, prot)

    def _pages(self, most: int) -> int:
        """Return the size of some pages, mostly few, in bytes."""
        return min(self._chance.choice((1, 1, 2, 3, 8)), most) * PAGE_SIZE
