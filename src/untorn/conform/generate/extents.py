"""Where the next operation goes: ranges that touch, cut and overlap what is mapped.

There are few pages and few lengths, so that ranges meet all the time.
"""

from itertools import pairwise
from random import Random

from untorn.conform.operation import CROWD, CROWD_END
from untorn.conform.traced import minimal_elf
from untorn.maps.page import PAGE_SIZE, PMD_SIZE, TASK_SIZE, UINT_MAX, page_align
from untorn.mm.calls.shm import SHM_OPS
from untorn.mm.mm_types import MmStruct, Vma, vma_kernel_pagesize
from untorn.mm.mman import VM_GROWSDOWN, VM_HUGETLB

ARENA, ARENA_32 = 0x2000_0000_0000, 0x2000_0000
"""Byte address of the pages in which most happens, by the process's word size.

Nothing is mapped there at first.
"""
ARENA_PAGES = 24
STACKS, HUGE_PAGES, VAST = 0x1000_0000, 0x4000_0000, 0x100_0000_0000
"""Offsets in bytes from the arena: room for mappings that grow down, with guard gaps between them;
for mappings of whole huge pages; and for mappings as large as the memory of a machine.
"""
_SPANS = (1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 8)
_SPECIAL_SHARE, _RUN_SHARE, _CROWD_SHARE = 0.04, 0.3, 0.1
_WHOLE_SHARE = 0.9
"""How often huge pages are used whole."""

Extent = tuple[int, int]
"""Byte address and length in bytes, as in system calls."""


def _arenas(task_size: int) -> tuple[int, ...]:
    """Return where the arena may begin; with five levels, also across and above what four have."""
    if task_size <= UINT_MAX:
        return (ARENA_32,)
    if task_size == TASK_SIZE:
        return (ARENA,)
    return ARENA, TASK_SIZE - ARENA_PAGES // 2 * PAGE_SIZE, ARENA << 8


class Extents:
    """Chooses extents of one address space.

    Attributes:
        arena: Byte address of ARENA_PAGES pages in which most happens.
        task_size: The first byte address that the process cannot have.
        vast: Nearly as many pages as the machine has, for mappings of that size; 0 for no such
            mappings. Nothing may bring one of them into memory.
        vmas: What is mapped now, without the program and usually without the crowd; set by look().
    """

    def __init__(self, random: Random, task_size: int, vast: int = 0) -> None:
        self._random = random
        self.arena = random.choice(_arenas(task_size))
        self.task_size = task_size
        self.vast = vast
        self._heap_end = 0
        self.vmas: list[Vma] = []
        self._plain: list[Vma] = []

    def look(self, mm: MmStruct) -> None:
        """See what is mapped now."""
        crowd = range(CROWD, 0 if self._random.random() < _CROWD_SHARE else CROWD_END)
        self.vmas = [
            vma for start, _, vma in mm.mm_mt if start != minimal_elf.BASE and start not in crowd
        ]
        self._plain = [vma for vma in self.vmas if vma.vm_ops in (None, SHM_OPS)]
        self._heap_end = page_align(mm.brk)

    def find(self, addr: int) -> Vma | None:
        """Return the VMA at addr, unless it is the program's or the crowd's."""
        return next((vma for vma in self.vmas if vma.vm_start <= addr < vma.vm_end), None)

    def machine_decides_residence(self, start: int, length: int) -> bool:
        """Return whether the script alone does not decide which pages of a range are in memory.

        That is true of files, whose page cache others use, of whole huge pages, and of what exec
        put on the stack.
        """
        touched = (v for v in self.vmas if v.vm_start < start + length and v.vm_end > start)
        return any(
            (v.vm_file is not None and not v.vm_file.is_anon_shmem)
            or v.vm_flags & VM_GROWSDOWN
            or v.vm_end - v.vm_start >= PMD_SIZE
            for v in touched
        )

    def span(self) -> int:
        """Return a length of a few pages, in bytes."""
        return self._random.choice(_SPANS) * PAGE_SIZE

    def vma(self) -> Vma | None:
        """Return a VMA; seldom one that the kernel made."""
        special = self._random.random() < _SPECIAL_SHARE
        vmas = self.vmas if special else self._plain
        return self._random.choice(vmas) if vmas else None

    def anywhere(self) -> Extent:
        """Return a range of the arena; usually in its middle third, to meet others."""
        pages = ARENA_PAGES if self._random.random() < 0.5 else ARENA_PAGES // 3
        first = (ARENA_PAGES - pages) // 2 + self._random.randrange(pages)
        return self.arena + first * PAGE_SIZE, self.span()

    def mapped(self) -> Extent:
        """Return a VMA, a part of one, or a run of adjacent VMAs, whole or not."""
        vma = self.vma()
        if vma is None:
            return self.anywhere()
        if self._random.random() < _RUN_SHARE:
            return self._run(vma)
        return self.part(vma)

    def part(self, vma: Vma) -> Extent:
        """Return a part of vma: all of it, its head, tail or middle, or one page."""
        unit = PAGE_SIZE
        if vma.vm_flags & VM_HUGETLB and self._random.random() < _WHOLE_SHARE:
            unit = vma_kernel_pagesize(vma)
        pages = (vma.vm_end - vma.vm_start) // unit
        size = min(self._random.choice((*_SPANS, pages // 2, pages - 1)), pages) or 1
        way = self._random.randrange(5)
        if way == 0:
            first, size = 0, pages
        elif way == 1:
            first = 0
        elif way == 2:
            first = pages - size
        else:
            first = self._random.randint(0, pages - size)
        return vma.vm_start + first * unit, size * unit

    def _run(self, vma: Vma) -> Extent:
        """Return a range that begins in vma and ends in one of the VMAs right after it."""
        start, _ = self.part(vma)
        run = [vma]
        for following in self.vmas:
            if following.vm_start == run[-1].vm_end and len(run) < 5:
                run.append(following)
        last_start, last_length = self.part(self._random.choice(run))
        end = last_start + last_length
        return (start, end - start) if end > start else (start, vma.vm_end - start)

    def torn(self) -> tuple[Vma, Vma] | None:
        """Return two adjacent VMAs; None if there are none."""
        touching = [
            (below, above)
            for below, above in pairwise(self._plain)
            if below.vm_end == above.vm_start
        ]
        return self._random.choice(touching) if touching else None

    def across(self) -> Extent:
        """Return a range that begins in a VMA and continues for a few pages, mapped or not."""
        start, length = self.mapped()
        return start, length + self.span()

    def hole(self) -> Extent:
        """Return a part of a hole of the arena: all of it, its head, tail or middle."""
        low, high = self._random.choice(self._holes() or [(self.arena, self.arena + PAGE_SIZE)])
        length = min(self.span(), high - low)
        way = self._random.randrange(4)
        if way == 0 and high - low <= 8 * PAGE_SIZE:
            return low, high - low
        if way == 1:
            return low, length
        if way == 2:
            return high - length, length
        return low + self._random.randint(0, (high - low - length) // PAGE_SIZE) * PAGE_SIZE, length

    def _holes(self) -> list[tuple[int, int]]:
        holes, at = [], self.arena
        end = at + ARENA_PAGES * PAGE_SIZE
        for vma in self.vmas:
            if vma.vm_end > self.arena and vma.vm_start < end:
                if vma.vm_start > at:
                    holes.append((at, vma.vm_start))
                at = vma.vm_end
        return [*holes, (at, end)] if at < end else holes

    def huge(self) -> Extent:
        """Return one or two huge pages, aligned or one page off."""
        start = self.arena + HUGE_PAGES + self._random.randrange(4) * PMD_SIZE
        start += self._random.choice((0, 0, 0, PAGE_SIZE, -PAGE_SIZE))
        length = self._random.choice((1, 1, 1, 2)) * PMD_SIZE
        return start, length + self._random.choice((0, 0, 0, PAGE_SIZE, -PAGE_SIZE))

    def vast_range(self) -> Extent:
        """Return an extent for a vast mapping."""
        return self.arena + VAST, self.vast_length()

    def vast_length(self) -> int:
        """Return about as many bytes as the machine has, or half of that."""
        pages = self.vast + self._random.choice((-2, -1, 0, 1, 2))
        return self._random.choice((pages, pages, pages // 2)) * PAGE_SIZE

    def near_heap(self) -> Extent:
        """Return an extent right after the heap, or at some distance."""
        pages = self._random.choice((-1, 0, 0, 0, 1, 2, 255, 256, 257))
        return self._heap_end + pages * PAGE_SIZE, self.span()

    def of_stack(self) -> Extent:
        """Return an extent for what grows down, near another one's guard gap or far from it."""
        first = self._random.choice((300, 300, 556, 557, 700, 812, 813, 814, 1100))
        return self.arena + STACKS + first * PAGE_SIZE, self.span()

    def below_stack(self) -> int:
        """Return the byte address of a page below a mapping that grows down, if there is one."""
        stacks = [vma for vma in self._plain if vma.vm_flags & VM_GROWSDOWN]
        if not stacks:
            return self.anywhere()[0]
        pages = self._random.choice((1, 1, 1, 2, 3, 10, 200, 255, 256, 257))
        return max(self._random.choice(stacks).vm_start - pages * PAGE_SIZE, 0)
