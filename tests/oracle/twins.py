"""A child, and an engine with mappings wherever the child has some.

Where a mapping goes depends on every other mapping and on mmap_base, which no file shows. A child
without randomization has it where arch/x86/mm/mmap.c:mmap_base() puts it for any stack limit
that is not very large: 128 MB, the smallest gap there is, below the top of the stack.
"""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from tests.oracle.kernel_process import KernelProcess
from tests.oracle.worlds import ANONYMOUS, EngineWorld, KernelWorld, engine_limits
from untorn.maps.page import PAGE_SIZE, TASK_SIZE
from untorn.mm.mm_types import MmStruct
from untorn.mm.mman import MAP_FIXED, MAP_GROWSDOWN, MAP_NORESERVE, PROT_NONE
from untorn.syscalls import Process

SMALLEST_GAP = 128 << 20
HIGH_UP = 64 << 20
"""Bytes; every hole between libraries is smaller."""
MMAP_BASE = TASK_SIZE - SMALLEST_GAP
GIB = 1 << 30
FREE = 0x3000_0000_0000
"""Byte address with nothing near it."""
GUARD_GAP = 256 * PAGE_SIZE


def why_no_known_base() -> str | None:
    """Say why mmap_base cannot be known, or nothing."""
    if not Path("/sys/kernel/mm/transparent_hugepage").exists():
        return "the engine places as a kernel with transparent huge pages does"
    soft = resource.getrlimit(resource.RLIMIT_STACK)[0]
    if soft == resource.RLIM_INFINITY or soft + (1 << 20) > SMALLEST_GAP:
        return f"a stack limit of {soft} bytes moves mmap_base, or turns the search upside down"
    return None


def engine_like(child: KernelProcess) -> EngineWorld:
    """Return an engine that has something mapped exactly where the child has."""
    limits = replace(engine_limits(), mmap_min_addr=min_addr(child))
    engine = EngineWorld(limits)
    engine.process = Process(MmStruct("twin", limits=limits, mmap_base=MMAP_BASE))
    for start, end, name in ranges(child.maps()):
        grows = MAP_GROWSDOWN if name == "[stack]" else 0
        flags = ANONYMOUS | MAP_FIXED | MAP_NORESERVE | grows
        if end <= TASK_SIZE:
            engine.process.mmap(start, end - start, PROT_NONE, flags)
    return engine


def min_addr(child: KernelProcess) -> int:
    """Return mmap_min_addr, which no file shows: a hint below it is raised to it."""
    addr = child.mmap(PAGE_SIZE, PAGE_SIZE, PROT_NONE, ANONYMOUS)
    child.munmap(addr, PAGE_SIZE)
    return addr


def ranges(maps: bytes) -> list[tuple[int, int, str]]:
    """Return start, end and name of each line."""
    found = []
    for line in maps.decode(errors="replace").splitlines():
        bounds, *_ = fields = line.split(maxsplit=5)
        start, end = (int(text, 16) for text in bounds.split("-"))
        found.append((start, end, fields[5] if len(fields) > 5 else ""))
    return found


def covered(maps: bytes) -> list[tuple[int, int]]:
    """Return what is mapped below TASK_SIZE, neighbours joined."""
    joined: list[tuple[int, int]] = []
    for start, end, _ in ranges(maps):
        if end > TASK_SIZE:
            continue
        if joined and joined[-1][1] == start:
            start = joined.pop()[0]
        joined.append((start, end))
    return joined


class Twins:
    """Both worlds, to be asked the same thing."""

    def __init__(self, child: KernelProcess) -> None:
        self.kernel = KernelWorld(child)
        self.engine = engine_like(child)
        self._first = covered(self.engine.all_maps())

    def plug(self) -> None:
        """Fill the small holes high up, so that the next mapping goes below all others."""
        joined = covered(self.kernel.all_maps())
        for (_, low), (high, _) in pairwise(joined):
            if high <= MMAP_BASE and high - low < HIGH_UP:
                self.mmap(low, high - low, flags=ANONYMOUS | MAP_FIXED | MAP_NORESERVE)

    def mmap(
        self,
        addr: int = 0,
        length: int = 4096,
        prot: int = PROT_NONE,
        flags: int = ANONYMOUS,
        file: tuple[int, int] = (-1, -1),
        offset: int = 0,
    ) -> int:
        """Map in both; return the address, or the errno negated, which both must agree on."""
        answers = []
        for world, fd in zip((self.engine, self.kernel), file, strict=True):
            try:
                answers.append(world.mmap(addr, length, prot, flags, fd, offset))
            except OSError as error:
                answers.append(-(error.errno or 0))
        engine, kernel = answers
        assert engine == kernel, f"the engine says {engine:#x}, the kernel {kernel:#x}"
        return kernel

    def munmap(self, addr: int, length: int = 4096) -> None:
        self.engine.munmap(addr, length)
        self.kernel.munmap(addr, length)

    def close(self) -> None:
        """Compare what is mapped at the end; give back all that was mapped here."""
        engine, kernel = covered(self.engine.all_maps()), covered(self.kernel.all_maps())
        for start, end in without(engine, self._first):
            self.kernel.munmap(start, end - start)
        assert engine == kernel, f"mapped in the engine {engine}, by the kernel {kernel}"


def without(ranges_: list[tuple[int, int]], less: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the parts of ranges that are not in less; both in order."""
    for low, high in less:
        cut = [((a, min(b, low)), (max(a, high), b)) for a, b in ranges_]
        ranges_ = [part for parts in cut for part in parts if part[0] < part[1]]
    return ranges_


@contextmanager
def twins_of(child: KernelProcess) -> Iterator[Twins]:
    twins = Twins(child)
    try:
        yield twins
    finally:
        twins.close()
