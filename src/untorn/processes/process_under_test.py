"""Process under test: the calls that change its map.

This very process is one, the engine's Process is another.
"""

import ctypes
from typing import Any, Protocol

from untorn.errors import os_error
from untorn.maps.page import ULONG_MAX


class ProcessUnderTest(Protocol):
    """The system calls of one process: Linux's arguments, OSError with Linux's errno."""

    def mmap(
        self, addr: int, length: int, prot: int, flags: int, fd: int = -1, offset: int = 0
    ) -> int:
        """Map length bytes and return the byte address."""

    def munmap(self, addr: int, length: int) -> None:
        """Unmap a range."""

    def mprotect(self, addr: int, length: int, prot: int) -> None:
        """Set the protection of a range."""

    def mremap(
        self, addr: int, old_len: int, new_len: int, flags: int = 0, new_addr: int = 0
    ) -> int:
        """Resize or move a range; return its new address."""

    def madvise(self, addr: int, length: int, advice: int) -> None:
        """Give advice about a range."""


class ThisProcess:
    """The calls that change this process's map, one system call each.

    A caller maps, unmaps and protects its own memory: it must not touch what it did not map itself.
    Arguments and errors are those of syscalls.Process and of Linux: see mmap(2), munmap(2),
    mprotect(2), mremap(2), madvise(2).

    Each call keeps the GIL if there is one, as releasing it costs more than the call.
    """

    __slots__ = ("_madvise", "_mmap", "_mprotect", "_mremap", "_munmap")

    def __init__(self) -> None:
        libc = ctypes.PyDLL(None, use_errno=True)
        word, number, offset = ctypes.c_size_t, ctypes.c_int, ctypes.c_long
        self._mmap = _bind(libc.mmap, word, word, word, number, number, number, offset)
        self._munmap = _bind(libc.munmap, number, word, word)
        self._mprotect = _bind(libc.mprotect, number, word, word, number)
        self._mremap = _bind(libc.mremap, word, word, word, word, number, word)
        self._madvise = _bind(libc.madvise, number, word, word, number)

    def mmap(
        self, addr: int, length: int, prot: int, flags: int, fd: int = -1, offset: int = 0
    ) -> int:
        """Map length bytes and return the byte address."""
        return _checked(self._mmap(addr, length, prot, flags, fd, offset))

    def munmap(self, addr: int, length: int) -> None:
        """Unmap a range."""
        _checked(self._munmap(addr, length))

    def mprotect(self, addr: int, length: int, prot: int) -> None:
        """Set the protection of a range."""
        _checked(self._mprotect(addr, length, prot))

    def mremap(
        self, addr: int, old_len: int, new_len: int, flags: int = 0, new_addr: int = 0
    ) -> int:
        """Resize or move a range; return its new address."""
        return _checked(self._mremap(addr, old_len, new_len, flags, new_addr))

    def madvise(self, addr: int, length: int, advice: int) -> None:
        """Give advice about a range."""
        _checked(self._madvise(addr, length, advice))


_FAILED = -1, ULONG_MAX
"""-1 as an int, and as an address (MAP_FAILED)."""


def _bind(function: Any, result: Any, *arguments: Any) -> Any:
    """Return a function of libc with the types of its result and arguments."""
    function.restype, function.argtypes = result, arguments
    return function


def _checked(result: int) -> int:
    if result in _FAILED:
        raise os_error(ctypes.get_errno())
    return result
