"""Arguments of mmap, which has more of them than all other calls together."""

from random import Random

from untorn.conform.files import FDS
from untorn.conform.generate.extents import STACKS, Extent, Extents
from untorn.conform.generate.refusals import reasons
from untorn.maps.page import PAGE_SIZE, PMD_SIZE, TASK_SIZE, ULONG_MAX
from untorn.mm.mman import (
    MAP_32BIT,
    MAP_ABOVE4G,
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_HUGE_1GB,
    MAP_HUGE_2MB,
    MAP_HUGE_SHIFT,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_NONBLOCK,
    MAP_NORESERVE,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_STACK,
    MAP_SYNC,
    PROT_EXEC,
    PROT_GROWSDOWN,
    PROT_NONE,
    PROT_READ,
    PROT_SEM,
    PROT_WRITE,
    VM_GROWSDOWN,
)

_RW = PROT_READ | PROT_WRITE
_PROTECTIONS = (_RW, _RW, _RW, _RW, PROT_READ, PROT_READ, PROT_NONE, PROT_READ | PROT_EXEC)
_KINDS = {
    MAP_PRIVATE | MAP_ANONYMOUS: 50,
    MAP_PRIVATE: 17,
    MAP_SHARED: 11,
    MAP_SHARED | MAP_ANONYMOUS: 8,
    MAP_DROPPABLE | MAP_ANONYMOUS: 2,
    MAP_SHARED_VALIDATE: 3,
    MAP_ANONYMOUS: 0.5,
    MAP_DROPPABLE: 0.3,
    MAP_SHARED_VALIDATE | MAP_ANONYMOUS: 0.3,
}
_EXTRAS = {
    MAP_NORESERVE: 0.08,
    MAP_POPULATE: 0.1,
    MAP_LOCKED: 0.03,
    MAP_NONBLOCK: 0.03,
    MAP_STACK: 0.03,
    MAP_32BIT: 0.02,
    MAP_SYNC: 0.005,
    MAP_ABOVE4G: 0.01,
    1 << 24: 0.005,
}
"""How often each flag is added."""
_WHERE = {
    "fixed_anywhere": 28,
    "fixed_hole": 24,
    "fixed_mapped": 6,
    "noreplace_hole": 8,
    "noreplace_anywhere": 3,
    "hint_hole": 7,
    "hint_anywhere": 4,
    "hint_odd": 3,
    "unplaced": 9,
    "unplaced_huge": 1.5,
    "fixed_huge": 2,
    "fixed_stack": 5,
    "fixed_heap": 2,
    "fixed_low": 0.5,
    "wrong": 2,
}
_HUGETLB_SHARE = 0.06
_HUGE_SIZES = (*(0,) * 8, *(MAP_HUGE_2MB,) * 4, MAP_HUGE_1GB, 20 << MAP_HUGE_SHIFT)
_HUGETLB_EXTRAS = {
    MAP_NORESERVE: 0.25,
    MAP_POPULATE: 0.1,
    MAP_LOCKED: 0.05,
    MAP_32BIT: 0.03,
    MAP_GROWSDOWN: 0.01,
    MAP_SYNC: 0.01,
}
_VAST_WEIGHT, _ODD_SHARE, _REFUSED_SHARE = 8, 0.01, 0.02
_FILE_SHIFTS = (0, 0, 0, 0, 0, 0, 1, 7)
_FILES = {
    "ONE": 40,
    "ONE_AGAIN": 10,
    "ONE_READ_ONLY": 10,
    "ONE_WRITE_ONLY": 1,
    "OTHER": 10,
    "GONE": 6,
    "MEMORY": 10,
    "ZERO": 10,
    "DIRECTORY": 1,
    "NO_MMAP": 0.5,
    "SEALED": 3,
    "APPEND_ONLY": 1,
}
"""How often each file is mapped."""
_WRONG_FILES = (3000, 0), (FDS["ONE"], 100), (FDS["ONE"], (1 << 63) - PAGE_SIZE), (-1, 0)


class MmapArguments:
    """Draws the arguments of mmap calls."""

    def __init__(self, random: Random, extents: Extents) -> None:
        self._random = random
        self._extents = extents
        self._reasons = reasons(extents.arena, extents.task_size)

    def mmap(self) -> tuple[int, ...]:
        """Return addr, length, prot, flags, fd and offset."""
        if self._random.random() < _HUGETLB_SHARE:
            return self._hugetlb()
        flags: int = self._random.choices(list(_KINDS), list(_KINDS.values()))[0]
        for extra, share in _EXTRAS.items():
            if self._random.random() < share:
                flags |= extra
        where = _WHERE | {"fixed_vast": _VAST_WEIGHT} if self._extents.vast else _WHERE
        if self._extents.vast:
            flags &= ~(MAP_POPULATE | MAP_LOCKED)
        chosen: str = self._random.choices(list(where), list(where.values()))[0]
        (addr, length), more = getattr(self, f"_{chosen}")()
        if more & MAP_GROWSDOWN and self._random.random() < 0.9:
            flags = flags & MAP_NORESERVE | MAP_PRIVATE | MAP_ANONYMOUS
        fd, offset = self._file(addr, flags)
        prot = self._random.choice(_PROTECTIONS)
        if self._random.random() < _ODD_SHARE:
            prot |= self._random.choice((PROT_GROWSDOWN, PROT_SEM, 0x10))
        drawn = addr, length, prot, flags | more, fd, offset
        return self._refused(drawn) if self._random.random() < _REFUSED_SHARE else drawn

    def _refused(self, arguments: tuple[int, ...]) -> tuple[int, ...]:
        """Give a call two reasons to be refused, or one if the two do not fit together."""
        one, other = self._random.sample(self._reasons, 2)
        arguments = one.given(arguments)
        return other.given(arguments) if one.fits(other) else arguments

    def _hugetlb(self) -> tuple[int, ...]:
        """Return a call for few huge pages, as the pool has few."""
        flags = self._random.choice((MAP_PRIVATE, MAP_PRIVATE, MAP_PRIVATE, MAP_SHARED))
        flags |= MAP_ANONYMOUS | MAP_HUGETLB | self._random.choice(_HUGE_SIZES)
        for extra, share in _HUGETLB_EXTRAS.items():
            if self._random.random() < share:
                flags |= extra
        (addr, length), more = self._random.choice(
            (
                (self._extents.huge(), MAP_FIXED),
                (self._extents.huge(), MAP_FIXED),
                (self._extents.huge(), self._random.choice((0, MAP_FIXED_NOREPLACE))),
                self._unplaced_huge(),
                self._unplaced(),
            )
        )
        offset = self._random.choice((0,) * 20 + (PMD_SIZE, PAGE_SIZE))
        return addr, length, self._random.choice(_PROTECTIONS), flags | more, -1, offset

    def _file(self, addr: int, flags: int) -> tuple[int, int]:
        """Return a descriptor, and an offset that continues the mapping next to addr."""
        if flags & MAP_ANONYMOUS:
            return -1, 0
        if self._random.random() < 0.01:
            return self._random.choice(_WRONG_FILES)
        page = (addr - self._extents.arena) // PAGE_SIZE % 24
        shift = self._random.choice(_FILE_SHIFTS)
        name: str = self._random.choices(list(_FILES), list(_FILES.values()))[0]
        return FDS[name], (page + shift) * PAGE_SIZE

    def _fixed_anywhere(self) -> tuple[Extent, int]:
        return self._extents.anywhere(), MAP_FIXED

    def _fixed_hole(self) -> tuple[Extent, int]:
        return self._extents.hole(), MAP_FIXED

    def _fixed_mapped(self) -> tuple[Extent, int]:
        return self._extents.mapped(), MAP_FIXED

    def _noreplace_hole(self) -> tuple[Extent, int]:
        return self._extents.hole(), MAP_FIXED_NOREPLACE

    def _noreplace_anywhere(self) -> tuple[Extent, int]:
        return self._extents.anywhere(), MAP_FIXED_NOREPLACE

    def _hint_hole(self) -> tuple[Extent, int]:
        start, length = self._extents.hole()
        return (start + self._random.choice((0, 0, 0, 1, 4095)), length), 0

    def _hint_anywhere(self) -> tuple[Extent, int]:
        return self._extents.anywhere(), 0

    def _hint_odd(self) -> tuple[Extent, int]:
        """Return a hint in a guard gap, too low, too high, or next to a mapping."""
        near, limit = self._extents.vma(), self._extents.task_size
        hints = [1, PAGE_SIZE, limit + PAGE_SIZE, limit, self._extents.below_stack()]
        hints += [TASK_SIZE + PAGE_SIZE, TASK_SIZE, TASK_SIZE - PAGE_SIZE]
        if near is not None:
            guard = 256 * PAGE_SIZE if near.vm_flags & VM_GROWSDOWN else PAGE_SIZE
            hints += [near.vm_end, near.vm_start - guard, near.vm_start - guard - PAGE_SIZE]
        return (max(self._random.choice(hints), 0), self._extents.span()), 0

    def _unplaced(self) -> tuple[Extent, int]:
        return (0, self._extents.span() + self._random.choice((0, 0, 0, -1, 1 - PAGE_SIZE))), 0

    def _unplaced_huge(self) -> tuple[Extent, int]:
        return (0, PMD_SIZE + self._random.choice((0, 0, PMD_SIZE, PAGE_SIZE, -PAGE_SIZE))), 0

    def _fixed_huge(self) -> tuple[Extent, int]:
        return self._extents.huge(), MAP_FIXED

    def _fixed_stack(self) -> tuple[Extent, int]:
        return self._extents.of_stack(), MAP_FIXED | self._random.choice(
            (MAP_GROWSDOWN, MAP_GROWSDOWN, 0)
        )

    def _fixed_heap(self) -> tuple[Extent, int]:
        return self._extents.near_heap(), MAP_FIXED | self._random.choice((0, 0, MAP_GROWSDOWN))

    def _fixed_low(self) -> tuple[Extent, int]:
        """Return an address around the lowest that may be mapped with CAP_SYS_RAWIO, or without."""
        return (self._random.choice((0x1000, 0xF000, 0x1_0000)), PAGE_SIZE), MAP_FIXED

    def _fixed_vast(self) -> tuple[Extent, int]:
        return self._extents.vast_range(), MAP_FIXED

    def _wrong(self) -> tuple[Extent, int]:
        start, length = self._extents.anywhere()
        limit = self._extents.task_size
        wrong = [
            ((start + 1, length), MAP_FIXED),
            ((start, 0), MAP_FIXED),
            ((start, ULONG_MAX), 0),
            ((limit + PAGE_SIZE, length), MAP_FIXED),
            ((limit - PAGE_SIZE, length), MAP_FIXED),
            ((0, length), MAP_FIXED),
            # Nothing large that might be mapped afterwards: another call would fill it with pages.
            ((start, limit + PAGE_SIZE), 0),
            ((0, limit), 0),
            ((start + STACKS, limit + PAGE_SIZE), MAP_FIXED_NOREPLACE),
        ]
        return self._random.choice(wrong)
