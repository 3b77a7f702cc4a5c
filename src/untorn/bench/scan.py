"""What a scanner does, whoever's file it reads: go over the map again and again, as a monitor."""

import errno
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from untorn.maps import procmap_query
from untorn.maps.maps_file import MapsFile
from untorn.maps.procmap_query import QueryFlags

READ_SIZE = 65536
"""Bytes asked for at once; the kernel gives a page or less."""

T = TypeVar("T")
Pass = Callable[[T], Iterator[int]]
"""Goes over the map of an open T once; yields the bytes of each call."""


def read_text(file: MapsFile) -> Iterator[int]:
    """Read the file from start to end."""
    file.seek(0)
    while chunk := file.read(READ_SIZE):
        yield len(chunk)


def walk_by_ioctl(file: MapsFile) -> Iterator[int]:
    """Ask for one VMA after the other, names included."""
    addr = 0
    while True:
        try:
            vma = file.query(addr, QueryFlags.COVERING_OR_NEXT_VMA)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return
            raise
        yield procmap_query.SIZE + len(vma.name)
        addr = vma.end


class Stop(Protocol):
    """Says when to end."""

    requested: bool


def scan(file: T, one_pass: Pass[T], stop: Stop) -> tuple[int, int]:
    """Go over the map until told to stop; return whole passes and bytes."""
    scans = total = 0
    while not stop.requested:
        for size in one_pass(file):
            total += size
            if stop.requested:
                break
        else:
            scans += 1
    return scans, total
