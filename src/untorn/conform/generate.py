"""Which operation comes next: drawn at random, with a liking for edges, from what is mapped.

A script is a function of its seed alone, as long as engine and kernel agree.
"""

from collections.abc import Callable, Iterator
from random import Random

from untorn.conform.generate_mmap import MmapMaker
from untorn.conform.operations import Operation
from untorn.conform.places import ARENA, ARENA_PAGES, Places, Range
from untorn.live import minimal_elf
from untorn.mm.mm_struct import MmStruct
from untorn.mm.mman import (
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PROT_EXEC,
    PROT_GROWSDOWN,
    PROT_GROWSUP,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    VM_PFNMAP,
)
from untorn.mm.page import PAGE_SIZE, TASK_SIZE, ULONG_MAX
from untorn.mm.vma_store import vma_pages

LENGTHS = 40, 200
"""Operations of a script, at least and at most."""
_RW = PROT_READ | PROT_WRITE
_PROTECTIONS = (_RW, _RW, _RW, PROT_READ, PROT_READ, PROT_NONE, PROT_READ | PROT_EXEC, PROT_WRITE)
_ADVICE = (0, 1, 2, 2, 3, 4, 4, 8, 10, 10, 11, 14, 15, 15, 16, 16, 17, 18, 18, 19, 20, 21, 24)
_MOVE = MREMAP_FIXED | MREMAP_MAYMOVE
_MREMAP_FLAGS = (
    *(0, 0, 0, 0),
    *(MREMAP_MAYMOVE,) * 4,
    *(_MOVE,) * 8,
    *(_MOVE | MREMAP_DONTUNMAP,) * 2,
    MREMAP_MAYMOVE | MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    8,
)
_DELTAS = (-4, -2, -1, -1, 0, 0, 0, 0, 1, 1, 2, 3, 16)
_CAPSET_SHARE, _SEAL_SHARE = 0.3, 0.15
_BAD_SHARE = 0.04
_WEIGHTS = {
    "mmap": 26,
    "munmap": 7,
    "mprotect": 15,
    "mremap": 12,
    "madvise": 10,
    "mlock2": 4,
    "munlock": 3,
    "mlockall": 0.7,
    "munlockall": 0.7,
    "brk": 4,
    "mseal": 0,
    "touch_write": 12,
    "touch_read": 4,
    "setrlimit": 2,
}


class Generator:
    """Draws the operations of one script; iterate over it to get them, one per step."""

    def __init__(
        self, random: Random, mm: MmStruct, fds: list[int], hard_limits: tuple[int, ...]
    ) -> None:
        """Begin a script.

        Args:
            random: Decides everything.
            mm: The address space as it is whenever an operation is drawn.
            fds: Descriptors of files that may be mapped.
            hard_limits: By number in LIMITS, in bytes, -1 for none.
        """
        self._random = random
        self._mm = mm
        self._hard_limits = hard_limits
        self._places = Places(random, mm)
        self._mmap = MmapMaker(random, self._places, fds)
        self._tight: set[int] = set()
        self._weights = dict(_WEIGHTS)
        if random.random() < _SEAL_SHARE:
            self._weights["mseal"] = 1

    def __iter__(self) -> Iterator[Operation]:
        if self._random.random() < _CAPSET_SHARE:
            yield Operation("capset")
        for _ in range(self._random.randint(*LENGTHS)):
            yield self._next()

    def _next(self) -> Operation:
        self._places.look()
        if self._tight and self._random.random() < 0.15:
            which = self._tight.pop()
            return Operation("setrlimit", (which, self._hard_limits[which]))
        names = list(self._weights)
        name: str = self._random.choices(names, list(self._weights.values()))[0]
        make: Callable[[], tuple[int, ...]] = getattr(self, f"_{name}_arguments")
        return Operation(name, make())

    def _mmap_arguments(self) -> tuple[int, ...]:
        return self._mmap.arguments()

    def _munmap_arguments(self) -> tuple[int, ...]:
        return self._nudged(self._choose(mapped=6, across=2, anywhere=2))

    def _mprotect_arguments(self) -> tuple[int, ...]:
        prot = self._random.choice(_PROTECTIONS)
        if self._random.random() < 0.03:
            prot |= self._random.choice((PROT_GROWSDOWN, PROT_GROWSDOWN, PROT_GROWSUP, 0x10))
        return *self._nudged(self._choose(mapped=12, across=1, anywhere=1)), prot

    def _mremap_arguments(self) -> tuple[int, ...]:
        vma = self._places.vma()
        if vma is None or self._random.random() < 0.25:
            start, old_len = self._choose(mapped=3, across=1)
        else:
            start, old_len = self._places.part(vma)
        new_len = max(old_len + self._random.choice(_DELTAS) * PAGE_SIZE, PAGE_SIZE)
        flags = self._random.choice(_MREMAP_FLAGS)
        if flags & MREMAP_DONTUNMAP or self._random.random() < 0.3:
            new_len = old_len
        if self._random.random() < 0.03:
            old_len = 0  # duplicates shared memory
        place = self._choose(hole=4, anywhere=1)[0]
        if not ARENA <= place < ARENA + ARENA_PAGES * PAGE_SIZE:
            place = ARENA
        return *self._nudged((start, old_len)), new_len, flags, place

    def _madvise_arguments(self) -> tuple[int, ...]:
        advice = 99 if self._random.random() < 0.02 else self._random.choice(_ADVICE)
        return *self._nudged(self._choose(mapped=12, across=1, anywhere=1)), advice

    def _mlock2_arguments(self) -> tuple[int, ...]:
        flags = 2 if self._random.random() < 0.02 else self._random.randrange(2)
        return *self._munlock_arguments(), flags

    def _munlock_arguments(self) -> tuple[int, ...]:
        return self._nudged(self._choose(mapped=12, across=1, anywhere=1))

    def _mlockall_arguments(self) -> tuple[int, ...]:
        return (self._random.choice((1, 1, 2, 3, 5, 6, 7, 4, 0, 8)),)

    def _munlockall_arguments(self) -> tuple[int, ...]:
        return ()

    def _brk_arguments(self) -> tuple[int, ...]:
        pages = self._random.choice((-3, -1, -1, 0, 1, 1, 1, 2, 3, 8))
        bytes_more = self._random.choice((0, 0, 0, 1, 100, -1))
        return (max(self._mm.brk + pages * PAGE_SIZE + bytes_more, 0),)

    def _mseal_arguments(self) -> tuple[int, ...]:
        return *self._nudged(self._choose(mapped=5, anywhere=1)), 0

    def _touch_write_arguments(self) -> tuple[int, ...]:
        if self._random.random() < 0.12:
            return (self._places.below_stack() + self._random.randrange(PAGE_SIZE),)
        start, length = self._choose(mapped=12, anywhere=1)
        addr = start + self._random.choice((0, length - 1, length - PAGE_SIZE, 8))
        vma = self._mm.find_vma(addr)
        if vma is not None and vma.vm_flags & VM_PFNMAP:
            return self._places.anywhere()[:1]  # which pages of [vvar] exist, the machine decides
        return (max(addr, 1),)  # write(2) refuses a buffer at 0, mapped or not

    _touch_read_arguments = _touch_write_arguments

    def _setrlimit_arguments(self) -> tuple[int, ...]:
        mm = self._mm
        more = self._random.choice((-2, 0, 1, 2, 4, 10, 30))
        which = self._random.randrange(4)
        stack = max((vma_pages(vma) for vma in self._places.vmas), default=1)
        in_use = (mm.total_vm, mm.data_vm, mm.locked_vm, stack)[which]
        soft = max(in_use + more, 0) * PAGE_SIZE + self._random.choice((0, 0, 0, 1, 4095))
        hard = self._hard_limits[which]
        if hard != -1 and soft > hard:
            return which, hard
        self._tight.add(which)
        return which, soft

    def _choose(self, **ways: int) -> Range:
        """Return a range chosen in one of these ways of Places, by weight."""
        way: str = self._random.choices(list(ways), list(ways.values()))[0]
        found: Range = getattr(self._places, way)()
        return found

    def _nudged(self, wanted: Range) -> Range:
        """Return the range; seldom one that is not of whole pages, or is none at all."""
        start, length = wanted
        if self._random.random() >= _BAD_SHARE or start < minimal_elf.BASE:
            return wanted  # below the program, a long range would take that along
        return self._random.choice(
            (
                (start + 1, length),
                (start, length - 1),
                (start, length + 1),
                (start, 0),
                (start, ULONG_MAX - PAGE_SIZE),
                (start, TASK_SIZE),
                (TASK_SIZE - PAGE_SIZE, 2 * PAGE_SIZE),
                (ULONG_MAX + 1 - PAGE_SIZE, PAGE_SIZE),
            )
        )
