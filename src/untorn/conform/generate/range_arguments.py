"""Arguments of calls on an address range that may be mapped or not."""

from random import Random

from untorn.conform.generate.extents import Extent, Extents
from untorn.conform.traced import minimal_elf
from untorn.maps.page import PAGE_SIZE, PMD_SIZE, ULONG_MAX
from untorn.mm.calls.shm import SHM_EXEC, SHM_OPS, SHM_RDONLY, SHM_REMAP, SHM_RND
from untorn.mm.mempolicy import (
    MPOL_BIND,
    MPOL_DEFAULT,
    MPOL_F_NUMA_BALANCING,
    MPOL_F_RELATIVE_NODES,
    MPOL_F_STATIC_NODES,
    MPOL_LOCAL,
    MPOL_MF_MOVE,
    MPOL_MF_MOVE_ALL,
    MPOL_MF_STRICT,
    MPOL_PREFERRED,
)
from untorn.mm.mman import (
    MADV_COLLAPSE,
    MADV_NORMAL,
    MADV_POPULATE_READ,
    MADV_POPULATE_WRITE,
    MADV_WILLNEED,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MS_ASYNC,
    MS_INVALIDATE,
    MS_SYNC,
    PROT_EXEC,
    PROT_GROWSDOWN,
    PROT_GROWSUP,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    VM_HUGETLB,
    VM_MIXEDMAP,
    VM_PFNMAP,
)

_RW = PROT_READ | PROT_WRITE
_PROTECTIONS = (_RW, _RW, _RW, PROT_READ, PROT_READ, PROT_NONE, PROT_READ | PROT_EXEC, PROT_WRITE)
_ADVICE = {
    **dict.fromkeys((*range(5), *range(8, 26)), 1.0),
    **dict.fromkeys((2, 4, 10, 15, 16, 18), 2.0),
    **dict.fromkeys((102, 103), 1.5),
    99: 0.5,
}
"""How often each MADV_* is given; 99 is invalid."""
_BRINGS_IN = MADV_WILLNEED, MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_COLLAPSE
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
_MODE_FLAGS = MPOL_F_STATIC_NODES, MPOL_F_RELATIVE_NODES, MPOL_F_NUMA_BALANCING
_BAD_SHARE, _HEAL_SHARE, _VAST_SHARE, _STACK_SHARE = 0.04, 0.2, 0.1, 0.12
"""Shares of all operations."""


class RangeArguments:
    """Draws the arguments of calls; each method has the name of its operation."""

    def __init__(self, random: Random, extents: Extents) -> None:
        self._random = random
        self._extents = extents

    def munmap(self) -> tuple[int, ...]:
        """Return the arguments of a call."""
        return self._nudged(self._choose(mapped=6, across=2, anywhere=2))

    def mprotect(self) -> tuple[int, ...]:
        """Return the arguments of a call."""
        if self._random.random() < _HEAL_SHARE and (healing := self._heal()):
            return healing
        prot = self._random.choice(_PROTECTIONS)
        if self._random.random() < 0.03:
            prot |= self._random.choice((PROT_GROWSDOWN, PROT_GROWSDOWN, PROT_GROWSUP, 0x10))
        return *self._nudged(self._choose(mapped=12, across=1, anywhere=1)), prot

    def _heal(self) -> tuple[int, ...] | None:
        """Give a VMA the protection of an adjacent one, so that they may merge again."""
        torn = self._extents.torn()
        if torn is None:
            return None
        one, other = self._random.sample(torn, 2)
        prot = other.vm_flags & (PROT_READ | PROT_WRITE | PROT_EXEC)
        return one.vm_start, one.vm_end - one.vm_start, prot

    def mremap(self) -> tuple[int, ...]:
        """Return the arguments of a call."""
        vma = self._extents.vma()
        if vma is None or self._random.random() < 0.25:
            start, old_len = self._choose(mapped=3, across=1)
        else:
            start, old_len = self._extents.part(vma)
        new_len = max(old_len + self._random.choice(_DELTAS) * PAGE_SIZE, PAGE_SIZE)
        flags = self._random.choice(_MREMAP_FLAGS)
        if flags & MREMAP_DONTUNMAP or self._random.random() < 0.3:
            new_len = old_len
        if self._random.random() < 0.03:
            old_len = 0  # this duplicates shared memory
        if self._extents.vast and self._random.random() < _VAST_SHARE:
            new_len = self._extents.vast_length()
        new_addr = self._choose(hole=16, anywhere=4, near_heap=1)[0]
        if vma is not None and vma.vm_flags & VM_HUGETLB:
            new_addr, _ = self._extents.huge()
        return *self._nudged((start, old_len)), new_len, flags, new_addr

    def madvise(self) -> tuple[int, ...]:
        """Return the arguments of a call."""
        advice: int = self._random.choices(list(_ADVICE), list(_ADVICE.values()))[0]
        start, length = self._nudged(self._choose(mapped=12, across=1, anywhere=1))
        if advice == MADV_COLLAPSE and length >= PMD_SIZE:
            advice = MADV_NORMAL  # the machine decides whether it has a huge page
        if self._extents.vast and advice in _BRINGS_IN:
            advice = MADV_NORMAL
        return start, length, advice

    def mlock2(self) -> tuple[int, ...]:
        """Return the arguments of a call."""
        flags = 2 if self._random.random() < 0.02 else self._random.randrange(2)
        return *self.munlock(), flags

    def munlock(self) -> tuple[int, ...]:
        """Return the arguments of a call."""
        return self._nudged(self._choose(mapped=12, across=1, anywhere=1))

    mlock = munlock

    def msync(self) -> tuple[int, ...]:
        """Return the arguments of a call."""
        flags = self._random.choice((MS_SYNC, MS_SYNC, MS_ASYNC, MS_SYNC | MS_INVALIDATE, 0, 5, 8))
        return *self._nudged(self._choose(mapped=6, across=3, anywhere=1)), flags

    def mincore(self) -> tuple[int, ...]:
        """Return the arguments of a call."""
        start, length = self._nudged(self._choose(mapped=9, across=2, anywhere=1))
        if self._extents.machine_decides_residence(start, length):
            length = 0
        return start, length, self._choose(mapped=6, anywhere=1)[0]

    def shmat(self) -> tuple[int, ...]:
        """Return the arguments of a call."""
        flags = self._random.choice((0, 0, 0, SHM_RDONLY, SHM_RND, SHM_REMAP, SHM_REMAP, SHM_EXEC))
        addr = self._random.choice((0, self._choose(hole=4, mapped=2, anywhere=2)[0]))
        return self._random.choice((0, 0, 1, 2)), addr + self._random.choice((0, 0, 0, 5)), flags

    def shmdt(self) -> tuple[int, ...]:
        """Return the arguments of a call."""
        segments = [vma for vma in self._extents.vmas if vma.vm_ops is SHM_OPS]
        if not segments or self._random.random() < 0.1:
            return (self._choose(mapped=3, anywhere=1)[0],)
        vma = self._random.choice(segments)
        return (vma.vm_start - self._random.choice((0, vma.vm_pgoff)) * PAGE_SIZE,)

    def set_anon_name(self) -> tuple[int, ...]:
        """Return the arguments of a call."""
        name = self._random.choice((-1, 0, 0, 0, 1, 1, *range(len(minimal_elf.STRINGS))))
        return *self._nudged(self._choose(mapped=12, across=1, anywhere=1)), name

    def mbind(self) -> tuple[int, ...]:
        """Return the arguments of a call."""
        flags = self._random.choice((0, 0, 0, 0, MPOL_MF_MOVE, MPOL_MF_STRICT, MPOL_MF_MOVE_ALL, 8))
        mode, nodemask = self.set_mempolicy()
        if mode & 0xFF in (MPOL_PREFERRED, MPOL_LOCAL) and not nodemask & 1:
            flags &= ~MPOL_MF_STRICT
        return *self._nudged(self._choose(mapped=12, across=1, anywhere=1)), mode, nodemask, flags

    def set_mempolicy(self) -> tuple[int, int]:
        """Return the arguments of a call: one of few policies, so that VMAs often have the same."""
        mode = self._random.choice((*(MPOL_DEFAULT,) * 6, *(MPOL_BIND,) * 6, *range(8)))
        nodemask = self._random.choice(minimal_elf.NODEMASKS)
        if self._random.random() < 0.8:
            nodemask = 0 if mode in (MPOL_DEFAULT, MPOL_LOCAL) else 1
        if self._random.random() < 0.2:
            mode |= self._random.choice((*_MODE_FLAGS, sum(_MODE_FLAGS)))
        return mode, nodemask

    def set_mempolicy_home_node(self) -> tuple[int, ...]:
        """Return the arguments of a call."""
        node = self._random.choice((0, 0, 0, 0, 0, 0, 1, 1 << 63))
        flags = int(self._random.random() < 0.1)
        return *self._nudged(self._choose(mapped=12, across=1, anywhere=1)), node, flags

    def mseal(self) -> tuple[int, ...]:
        """Return the arguments of a call."""
        return *self._nudged(self._choose(mapped=5, anywhere=1)), 0

    def touch_write(self) -> tuple[int, ...]:
        """Return the arguments of a call."""
        start, length = self._choose(mapped=12, anywhere=1)
        addr = start + self._random.choice((0, length - 1, length - PAGE_SIZE, 8))
        if self._random.random() < _STACK_SHARE:
            addr = self._extents.below_stack() + self._random.randrange(PAGE_SIZE)
        vma = self._extents.find(addr)
        if vma is not None and vma.vm_flags & (VM_PFNMAP | VM_MIXEDMAP):
            return (1,)  # the machine decides which pages of [vvar] exist
        return (max(addr, 1),)  # write(2) refuses a buffer at 0, mapped or not

    touch_read = touch_write

    def _choose(self, **ways: int) -> Extent:
        """Return a range from one of these methods of Extents, chosen by weight."""
        way: str = self._random.choices(list(ways), list(ways.values()))[0]
        found: Extent = getattr(self._extents, way)()
        return found

    def _nudged(self, wanted: Extent) -> Extent:
        """Return the range; seldom change it to one that is unaligned or invalid."""
        start, length = wanted
        limit = self._extents.task_size
        if self._random.random() >= _BAD_SHARE:
            return wanted
        return self._random.choice(
            (
                (start + 1, length),
                (start, length - 1),
                (start, length + 1),
                (start, 0),
                (start, ULONG_MAX - PAGE_SIZE),
                (start, limit),
                (limit - PAGE_SIZE, 2 * PAGE_SIZE),
                (ULONG_MAX + 1 - PAGE_SIZE, PAGE_SIZE),
            )
        )
