"""Pages: a process addressed in pages, counted from BASE."""

import errno
from collections.abc import Callable
from functools import partial
from typing import Self

from untorn.judge.history import Range
from untorn.locking import sync
from untorn.maps.entry import MapsEntry
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mman import (
    MADV_DONTNEED,
    MADV_GUARD_INSTALL,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PROT_READ,
    PROT_WRITE,
)
from untorn.syscalls import Process

BASE = 0x10000
RW = PROT_READ | PROT_WRITE
R = PROT_READ
NONE = 0
ANON = MAP_ANONYMOUS | MAP_PRIVATE


def addr(page: int) -> int:
    """Return the byte address of a page."""
    return BASE + page * PAGE_SIZE


Piece = tuple[int, int, str]
"""A VMA as readers see it: first page, end, permissions as in maps."""


def piece(line: MapsEntry) -> Piece:
    """Return what a line shows."""
    first, end = ((address - BASE) // PAGE_SIZE for address in (line.start, line.end))
    return first, end, str(line.permissions)


class Pages(Process):
    """A process, addressed in pages.

    Attributes:
        exited: Whether its exit has begun.
        destinations: Destinations of the moves that tasks are making at the moment.
    """

    __slots__ = ("destinations", "exited")

    def __init__(self, mm: MmStruct | None = None) -> None:
        super().__init__(mm)
        self.exited = False
        self.destinations: dict[sync.Task, Range] = {}

    def fork(self) -> Self:
        """Fork; the child moves nothing yet."""
        child = super().fork()
        child.destinations = {}
        return child

    def exit(self) -> None:
        """End it."""
        self.exited = True
        super().exit()

    def map(self, first: int, end: int, prot: int = RW) -> None:
        """Map anonymous memory over anything that is there."""
        self.mmap(addr(first), (end - first) * PAGE_SIZE, prot, ANON | MAP_FIXED)

    def unmap(self, first: int, end: int) -> None:
        """Unmap."""
        self.munmap(addr(first), (end - first) * PAGE_SIZE)

    def protect(self, first: int, end: int, prot: int) -> None:
        """Change protection."""
        self.mprotect(addr(first), (end - first) * PAGE_SIZE, prot)

    def resize(self, first: int, end: int, new_end: int) -> None:
        """Shrink, or grow in place."""
        self.mremap(addr(first), (end - first) * PAGE_SIZE, (new_end - first) * PAGE_SIZE, 0)

    def move(self, first: int, end: int, place: int) -> None:
        """Move to another place, over anything that is there."""
        length, new_addr, mover = (end - first) * PAGE_SIZE, addr(place), sync.current()
        self.destinations[mover] = new_addr, new_addr + length
        try:
            self.mremap(addr(first), length, length, MREMAP_MAYMOVE | MREMAP_FIXED, new_addr)
        finally:
            del self.destinations[mover]

    def access(self, page: int, *, write: bool) -> bool:
        """Read or write a byte of a page; return whether that is allowed."""
        return _went_well(lambda: self.touch(addr(page), write=write), errno.EFAULT)

    def try_map(self, first: int, end: int) -> bool:
        """Map over anything that is there; return whether it was not sealed."""
        return _went_well(lambda: self.map(first, end), errno.EPERM)

    def try_protect(self, first: int, end: int, prot: int) -> bool:
        """Change protection; return whether that was done before the task was killed."""
        return _went_well(lambda: self.protect(first, end, prot), errno.EINTR)

    def drop(self, first: int, end: int) -> bool:
        """Give up the contents of pages; return whether all of them are mapped."""
        length = (end - first) * PAGE_SIZE
        return _went_well(lambda: self.madvise(addr(first), length, MADV_DONTNEED), errno.ENOMEM)

    def guard(self, first: int, end: int) -> bool:
        """Let every access to pages fail; return whether all of them are mapped."""
        length = (end - first) * PAGE_SIZE
        advise = partial(self.madvise, addr(first), length, MADV_GUARD_INSTALL)
        return _went_well(advise, errno.ENOMEM)

    def vma(self, page: int) -> Vma:
        """Return the VMA at a page, or the next one; for the set-up."""
        vma = self.mm.mm_mt.find(addr(page))
        assert vma is not None, "the set-up mapped it, or one above"
        return vma


def _went_well(call: Callable[[], object], refusal: int) -> bool:
    """Return whether a call succeeded; refusal is the errno with which it may fail."""
    try:
        call()
    except OSError as error:
        if error.errno != refusal:
            raise
        return False
    return True
