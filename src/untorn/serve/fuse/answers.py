"""The answers to requests: each kind in libfuse's terms."""

import ctypes
import os
import stat
from collections.abc import Callable, Sequence
from typing import Any

from untorn.serve.fuse import libfuse
from untorn.serve.fuse.node import Attributes, Caller, Entry

Answer = Callable[[int], bool]
"""Answers a request; returns whether the answer arrived: its caller may have been killed."""
_DOTS = Entry(b".", stat.S_IFDIR), Entry(b"..", stat.S_IFDIR)
_UNKNOWN_INO = 0xFFFF_FFFF
"""Not 0, which libc takes for a deleted entry."""
_NUMBERS = 1 << 32
"""Positions in a directory of names that are numbers, each at a place of its own."""


def error(number: int) -> Answer:
    """Refuse the request, with an errno."""
    return lambda request: not libfuse.fuse_reply_err(request, number)


done = error(0)


def absent(seconds: float) -> Answer:
    """Answer that nothing has that name, which holds for some seconds."""
    entry = libfuse.fuse_entry_param(ino=0, entry_timeout=seconds)
    return lambda request: not libfuse.fuse_reply_entry(request, entry)


def attributes(told: Attributes, number: int, seconds: float) -> Answer:
    """Answer with the attributes of a node, which hold for some seconds."""
    filled = libfuse.c_stat()
    fill(filled, told, number)
    return lambda request: not libfuse.fuse_reply_attr(request, filled, seconds)


def text(target: bytes) -> Answer:
    """Answer with the target of a link."""
    return lambda request: not libfuse.fuse_reply_readlink(request, target)


def data(told: bytes) -> Answer:
    """Answer with what was read."""
    return lambda request: not libfuse.fuse_reply_buf(request, told, len(told))


def ioctl(value: int, told: bytes) -> Answer:
    """Answer with the value and the data of an ioctl."""
    return lambda request: not libfuse.fuse_reply_ioctl(request, value, told, len(told))


def statistics() -> Answer:
    """Answer with the little that there is to say of the file system."""
    told = libfuse.c_statvfs(f_bsize=os.sysconf("SC_PAGESIZE"), f_namemax=255)
    return lambda request: not libfuse.fuse_reply_statfs(request, told)


def listing(entries: list[tuple[int, Entry]], size: int) -> Answer:
    """Answer with as many directory entries as fit.

    Args:
        entries: The wanted entries, each with its position.
        size: Room in bytes.
    """

    def answer(request: int) -> bool:
        room = ctypes.create_string_buffer(size)
        used, about = 0, libfuse.c_stat()
        for position, entry in entries:
            about.st_mode, about.st_ino = entry.mode, entry.ino or _UNKNOWN_INO
            at = ctypes.addressof(room) + used
            needed = libfuse.fuse_add_direntry(
                request, at, size - used, entry.name, about, position
            )
            if needed > size - used:
                break
            used += needed
        return not libfuse.fuse_reply_buf(request, room.raw[:used], used)

    return answer


def positions(entries: Sequence[Entry]) -> list[tuple[int, Entry]]:
    """Return entries in order, each with a position that stays the same: see proc_pid_readdir()."""
    words = sorted(each for each in entries if not each.name.isdigit())
    numbers = sorted((int(each.name), each) for each in entries if each.name.isdigit())
    placed = list(enumerate((*_DOTS, *words), 1))
    placed += [(_NUMBERS + number + 1, each) for number, each in numbers]
    return placed


def fill(filled: Any, told: Attributes, number: int) -> None:
    """Fill a c_stat with attributes."""
    filled.st_mode, filled.st_nlink, filled.st_ino = told.mode, told.nlink, told.ino or number
    filled.st_uid, filled.st_gid, filled.st_size = told.uid, told.gid, told.size
    if told.time_ns:
        seconds, ns = divmod(told.time_ns, 10**9)
        for each in filled.st_atimespec, filled.st_mtimespec, filled.st_ctimespec:
            each.tv_sec, each.tv_nsec = seconds, ns


def may(caller: Caller, told: Attributes, mask: int) -> bool:
    """Return whether a caller may do what access() asks, by the mode alone.

    Args:
        caller: The caller; only the first of its groups is known.
        told: Attributes of the node.
        mask: R_OK, W_OK and X_OK.
    """
    if caller.uid == 0:
        return not mask & os.X_OK or bool(told.mode & 0o111)
    shift = 6 if caller.uid == told.uid else 3 if caller.gid == told.gid else 0
    return not mask & ~(stat.S_IMODE(told.mode) >> shift)
