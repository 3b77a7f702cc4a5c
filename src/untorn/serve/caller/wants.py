"""What a caller wants of a name: the node itself, the text of a link, or the link's target.

In FUSE all three begin with the same request. The caller sleeps in its system call until it has its
answer, and /proc/TID/syscall shows which call that is. A link in the middle of the path is followed
in any call, so we read the path if that matters. The kernel has just read it, so this makes no page
resident. One case is missed: a symbolic link in the path whose own text leads through the name, if
the path ends with the same name.
"""

import os
import platform
from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple

from untorn.maps.page import PAGE_SIZE
from untorn.serve.caller.memory import CallerMemory
from untorn.serve.fuse.node import Caller

_PATH_MAX = 4096
_AT_SYMLINK_NOFOLLOW = 0x100
_32_BITS = len("0xffffffff")
"""The longest stack pointer or program counter of a 32-bit program, in characters."""


class Wants(Enum):
    """What a caller wants of a name."""

    NODE = auto()
    """The node itself, even if it is a link: lstat(2), open(2) with O_NOFOLLOW."""
    TEXT = auto()
    """The text of a link: readlink(2)."""
    TARGET = auto()
    """The target, if it is a link."""
    UNKNOWN = auto()
    """The caller is in another call, or we may not look at it."""


class _Call(NamedTuple):
    """A system call that takes a path."""

    path: int
    """Which argument is the path."""
    reads: bool = False
    """Whether it reads a link."""
    flags: int | None = None
    """Which argument may hold a flag that a link must not be followed, if one may."""
    nofollow: int = 0
    """That flag."""

    def wants(self, arguments: Sequence[bytes]) -> Wants:
        """Return what the call wants of the last name of its path."""
        if self.reads:
            return Wants.TEXT
        stays = self.flags is not None and int(arguments[self.flags], 16) & self.nofollow
        return Wants.NODE if stays else Wants.TARGET


def _calls(numbers: str) -> dict[int, _Call]:
    """Return calls by their numbers, which are listed in the order of the kinds; 0 for none."""
    open_flag, at_flag = os.O_NOFOLLOW, _AT_SYMLINK_NOFOLLOW
    kinds = (
        _Call(0, reads=True),  # readlink
        _Call(1, reads=True),  # readlinkat
        _Call(0, flags=1, nofollow=open_flag),  # open
        _Call(1, flags=2, nofollow=open_flag),  # openat
        _Call(0),  # stat
        _Call(1, flags=3, nofollow=at_flag),  # newfstatat
        _Call(1, flags=2, nofollow=at_flag),  # statx
        _Call(0),  # access
        _Call(1),  # faccessat
        _Call(1, flags=3, nofollow=at_flag),  # faccessat2
    )
    given = map(int, numbers.split())
    return {number: kind for number, kind in zip(given, kinds, strict=True) if number}


_CALLS, _CALLS_OF_32_BITS = {
    "x86_64": (
        _calls("89 267 2 257 4 262 332 21 269 439"),
        _calls("85 305 5 295 195 300 383 33 307 439"),
    ),
    "aarch64": (
        _calls("0 78 0 56 0 79 291 0 48 439"),
        _calls("85 332 5 322 195 327 397 33 334 439"),
    ),
    "riscv64": (_calls("0 78 0 56 0 79 291 0 48 439"), {}),
}.get(platform.machine(), ({}, {}))


def wants(proc: int, caller: Caller, name: bytes) -> Wants:
    """Return what a caller wants of a name.

    Args:
        proc: A descriptor of the procfs that shows what callers do.
        caller: The caller.
        name: The name, in its directory.
    """
    try:
        number, *arguments = _system_call(proc, caller.tid)
        is_of_32_bits = all(len(register) <= _32_BITS for register in arguments[-2:])
        call = (_CALLS_OF_32_BITS if is_of_32_bits else _CALLS).get(int(number))
        if call is None:
            return Wants.UNKNOWN
        itself = call.wants(arguments)
        if itself is Wants.TARGET:
            return itself
        path = _text(caller.tid, int(arguments[call.path], 16))
    except (OSError, ValueError):  # it is gone, we may not look at it, or it is in no call
        return Wants.UNKNOWN
    return itself if not path or _only_ends_with(path, name) else Wants.TARGET


def _only_ends_with(path: bytes, name: bytes) -> bool:
    """Return whether a name is the end of a path, and does not occur before that.

    If it does both, as in PID/root/dir/root, nothing shows which one is asked for. Then the link is
    followed: otherwise a caller could reach a file that it did not name. The start of an absolute
    path is the caller's root, which is not a directory of ours.
    """
    *way, last = path.split(b"/")
    return last == name and name not in (way[2:] if path.startswith(b"/") else way)


def _system_call(proc: int, tid: int) -> list[bytes]:
    """Return the number of the call, its six arguments, stack pointer and program counter."""
    file = os.open(f"{tid}/syscall", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    try:
        return os.read(file, 256).split()
    finally:
        os.close(file)


def _text(tid: int, addr: int) -> bytes:
    """Return the path at a byte address in a caller's memory; b"" if it is empty."""
    memory, text = CallerMemory(tid, 0, b""), b""
    while b"\0" not in text and len(text) < _PATH_MAX:
        place = addr + len(text)
        text += memory.copy_from_user(place, PAGE_SIZE - place % PAGE_SIZE)
    return text.partition(b"\0")[0]
