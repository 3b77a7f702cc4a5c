"""Random scripts of system calls over one window, of a kind that likes edges.

Few pages, few lengths, few protections: so that ranges touch, overlap and merge all the time.
"""

from dataclasses import dataclass
from typing import TypeVar

from hypothesis import strategies as st

from tests.oracle.worlds import ANONYMOUS, RW, World
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mman import (
    MADV_COLLAPSE,
    MADV_DONTNEED,
    MADV_FREE,
    MADV_GUARD_INSTALL,
    MADV_GUARD_REMOVE,
    MADV_HUGEPAGE,
    MADV_PAGEOUT,
    MADV_POPULATE_READ,
    MADV_POPULATE_WRITE,
    MADV_REMOVE,
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_LOCKED,
    MAP_NORESERVE,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_STACK,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PROT_EXEC,
    PROT_GROWSDOWN,
    PROT_NONE,
    PROT_READ,
)

PAGES = 16


@dataclass(frozen=True)
class Shape:
    """A call without its place; its repr is part of what a failing test prints.

    Attributes:
        name: Of the method of World.
        flags: Of mmap; of mprotect, PROT_ bits to add; of touch, whether it writes;
            of madvise, the advice.
        file: Which of the test's files is mapped; None: none.
        shift: Pages that the file's offset is ahead of the window's page; equal ones continue
            each other. Of mremap, pages to add.
    """

    name: str
    flags: int = 0
    file: int | None = None
    shift: int = 0


@dataclass(frozen=True)
class Call:
    """One call of a script: shape.name(page * PAGE_SIZE + nudge, length, ...)."""

    shape: Shape
    page: int
    span: tuple[int, int]
    prot: int

    def make(self, world: World, fds: list[int]) -> tuple[str, int]:
        """Make the call; return ("errno", n), ("offset", bytes into the window) or elsewhere."""
        length, nudge = self.span
        try:
            result = self._make(world, fds, world.page(self.page) + nudge, length)
        except OSError as error:
            return "errno", error.errno or 0
        if 0 <= result - world.base < PAGES * PAGE_SIZE:
            return "offset", result - world.base
        world.munmap(result, self._new_len(length) if self.shape.name == "mremap" else length)
        return "elsewhere", 0

    def _make(self, world: World, fds: list[int], addr: int, length: int) -> int:
        shape = self.shape
        if shape.name == "mmap":
            fd = -1 if shape.file is None else fds[shape.file]
            offset = 0 if shape.file is None else (self.page + shape.shift) * PAGE_SIZE
            return world.mmap(addr, length, self.prot, shape.flags, fd, offset)
        if shape.name == "mremap":
            return self._mremap(world, addr, length)
        if shape.name in ("madvise", "mlock2"):
            getattr(world, shape.name)(addr, length, shape.flags)
        elif shape.name == "touch":
            world.touch(addr, write=bool(shape.flags))
        elif shape.name == "mprotect":
            world.mprotect(addr, length, self.prot | shape.flags)
        else:
            getattr(world, shape.name)(addr, length)
        return world.base

    def _mremap(self, world: World, addr: int, length: int) -> int:
        """Resize or move: shift is how many pages are added, prot and page choose the place."""
        place = world.page((self.page + 3 + 2 * self.prot) % PAGES)
        return world.mremap(addr, length, self._new_len(length), self.shape.flags, place)

    def _new_len(self, length: int) -> int:
        return max(length + self.shape.shift * PAGE_SIZE, 0)


T = TypeVar("T")


def often(times: int, *values: T) -> list[T]:
    return list(values) * times


FIXED = MAP_FIXED
FIXED_MOVE = MREMAP_FIXED | MREMAP_MAYMOVE
SHAPES = [
    *often(8, Shape("mmap", ANONYMOUS | FIXED)),
    *often(12, Shape("mprotect")),
    *often(5, Shape("munmap")),
    *often(7, Shape("touch", 1)),
    *often(1, Shape("touch", 0)),
    *often(2, Shape("mmap", ANONYMOUS | FIXED | MAP_POPULATE)),
    Shape("mmap", MAP_PRIVATE | FIXED | MAP_POPULATE, 0),
    Shape("mmap", ANONYMOUS | FIXED | MAP_LOCKED),
    *often(2, Shape("mmap", ANONYMOUS), Shape("mmap", ANONYMOUS | MAP_FIXED_NOREPLACE)),
    *often(2, Shape("mmap", ANONYMOUS | FIXED | MAP_NORESERVE)),
    *often(2, Shape("mmap", MAP_SHARED | MAP_ANONYMOUS | FIXED)),
    *often(1, Shape("mmap", ANONYMOUS | FIXED | MAP_STACK)),
    *often(1, Shape("mmap", ANONYMOUS | FIXED | MAP_GROWSDOWN)),
    *often(1, Shape("mmap", MAP_DROPPABLE | MAP_ANONYMOUS | FIXED)),
    *often(1, Shape("mprotect", PROT_GROWSDOWN), Shape("mseal")),
    *often(3, *(Shape("mmap", MAP_PRIVATE | FIXED, file) for file in (0, 1))),
    *often(2, *(Shape("mmap", MAP_SHARED | FIXED, file) for file in (0, 1, 2))),
    *(Shape("mmap", kind | FIXED, 3) for kind in (MAP_PRIVATE, MAP_SHARED)),
    *(
        Shape("mmap", kind | FIXED, 0, shift)
        for kind in (MAP_PRIVATE, MAP_SHARED)
        for shift in (1, 7)
    ),
    Shape("mmap", MAP_PRIVATE | FIXED | MAP_NORESERVE, 0),
    Shape("mmap", MAP_PRIVATE, 0),
    *(Shape("madvise", advice) for advice in (0, 1, 2, 2, 3, 4, 8, 10, 10, 11, 12, 12, 13)),
    *(Shape("madvise", advice) for advice in (14, 15, 15, 16, 16, 17, 18, 18, 19, 20, 21, 24, 99)),
    *(Shape("madvise", advice) for advice in (MADV_REMOVE, MADV_COLLAPSE)),
    *(Shape("madvise", advice) for advice in (MADV_POPULATE_READ, MADV_POPULATE_WRITE)),
    *often(2, Shape("madvise", MADV_GUARD_INSTALL)),
    Shape("madvise", MADV_GUARD_REMOVE),
    *often(3, Shape("mlock2"), Shape("munlock"), Shape("mlock2", 1)),
    Shape("mlock2", 2),
    *often(2, *(Shape("mremap", 0, None, shift) for shift in (-2, -1, 1, 2))),
    *often(2, *(Shape("mremap", FIXED_MOVE, None, shift) for shift in (0, 0, 0, -1, 1))),
    *(Shape("mremap", MREMAP_MAYMOVE, None, shift) for shift in (0, 1, 2)),
    *often(2, Shape("mremap", FIXED_MOVE | MREMAP_DONTUNMAP)),
    Shape("mremap", MREMAP_MAYMOVE | MREMAP_DONTUNMAP),
    Shape("mremap", FIXED_MOVE, None, 16),
    Shape("mremap", 8),
]
SPANS: list[tuple[int, int]] = [
    *[(pages * PAGE_SIZE, 0) for pages in (1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 8, 16)],
    *[(1, 0), (PAGE_SIZE - 1, 0), (PAGE_SIZE + 1, 0), (0, 0), (PAGE_SIZE, 1)],
]
PROTECTIONS = [RW, RW, RW, PROT_READ, PROT_READ, PROT_NONE, PROT_READ | PROT_EXEC]
MIDDLE = [*range(4, 10)]


def calls_of(shapes: list[Shape], spans: list[tuple[int, int]] = SPANS) -> st.SearchStrategy[Call]:
    return st.builds(
        Call,
        st.sampled_from(shapes),
        st.sampled_from([*MIDDLE, *MIDDLE, *range(PAGES)]),
        st.sampled_from(spans),
        st.sampled_from(PROTECTIONS),
    )


calls = calls_of(SHAPES)
# Long scripts find more; the short ones are what a long one may shrink to.
scripts = st.sampled_from([1, 12, 12, 12]).flatmap(
    lambda least: st.lists(calls, min_size=least, max_size=24)
)

UNFIT_FOR_SMAPS = (("mseal", 0), ("madvise", MADV_HUGEPAGE))
"""What would stay mapped for the scripts that follow, or depends on more than the script."""
UNFIT_FOR_DISKS = [Shape("madvise", MADV_PAGEOUT), Shape("madvise", MADV_REMOVE)]
"""What takes pages out of a page cache: the kernel reads back as many as it likes."""
SMAPS_SHAPES = [
    *(shape for shape in SHAPES if (shape.name, shape.flags) not in UNFIT_FOR_SMAPS),
    *often(15, Shape("touch", 0), Shape("touch", 1)),
    *often(3, Shape("madvise", MADV_DONTNEED), Shape("madvise", MADV_FREE)),
    *often(
        2,
        *(
            Shape("mmap", kind | FIXED | MAP_POPULATE, file)
            for kind in (MAP_PRIVATE, MAP_SHARED)
            for file in (0, 1, 3)
        ),
    ),
    Shape("mmap", MAP_SHARED | MAP_ANONYMOUS | FIXED | MAP_POPULATE),
]
SMAPS_SPANS: list[tuple[int, int]] = [*SPANS, *often(2, (12 * PAGE_SIZE, 0), (16 * PAGE_SIZE, 0))]
IN_MEMORY = [*SMAPS_SHAPES, *often(3, *UNFIT_FOR_DISKS)]
ON_A_DISK = [shape for shape in SMAPS_SHAPES if shape not in UNFIT_FOR_DISKS]


def smaps_scripts(shapes: list[Shape]) -> st.SearchStrategy[list[Call]]:
    return st.lists(calls_of(shapes, SMAPS_SPANS), min_size=12, max_size=20)
