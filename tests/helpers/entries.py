"""Records of VMAs, in few words."""

from itertools import groupby

from untorn.judge.history import State
from untorn.maps.entry import MapsEntry
from untorn.maps.fields import Device, Permissions


def record(
    start: int,
    end: int,
    letters: bytes = b"rw-p",
    offset: int = 0,
    device: tuple[int, int] = (0, 0),
    inode: int = 0,
    name: bytes = b"",
) -> MapsEntry:
    """Return the record of a line of maps with these fields."""
    return MapsEntry(start, end, Permissions.parse(letters), offset, Device(*device), inode, name)


def vmas(text: str) -> State:
    """Return a map of a few one-byte pages: a letter per page; a run of one letter is a VMA.

    "aab.c" is VMA a at 0-2, b at 2-3, c at 4-5; . is a hole.
    """
    lines, at = [], 0
    for letter, run in groupby(text):
        size = len(list(run))
        if letter != ".":
            lines.append(record(at, at + size, name=letter.encode()))
        at += size
    return tuple(lines)


def vma(text: str) -> MapsEntry:
    """Return the only VMA of a map."""
    (only,) = vmas(text)
    return only
