"""Line: one VMA as a reader was shown it, whichever way; equal if and only if all is equal."""

from functools import lru_cache
from typing import NamedTuple

from untorn.maps.page import TASK_SIZE
from untorn.maps.procmap_query import QueriedVma, QueryFlags


class Line(NamedTuple):
    """What a line of maps, the first line of an smaps record or a query says."""

    start: int
    """Byte address."""
    end: int
    """Byte address, exclusive."""
    what: bytes
    """The rest as maps prints it: permissions, offset, device, inode and name, one space each."""

    def __str__(self) -> str:
        return f"{self.start:08x}-{self.end:08x} {self.what.decode(errors='replace')}"


@lru_cache(maxsize=1 << 16)
def parse_line(text: bytes) -> Line:
    """Return the Line of a line of maps, with or without its newline.

    Raises:
        ValueError: It is not one.
    """
    bounds, *what = text.rstrip(b"\n").split(None, 5)
    start, end = bounds.split(b"-")
    return Line(int(start, 16), int(end, 16), b" ".join(what))


def parse_maps(text: bytes) -> tuple[Line, ...]:
    """Return the lines of maps that are VMAs: without that of the gate VMA."""
    lines = map(parse_line, text.splitlines(keepends=True))
    return tuple(line for line in lines if line.start < TASK_SIZE)


def parse_smaps(text: bytes) -> tuple[Line, ...]:
    """Return the first line of each record of smaps, likewise."""
    # Fields are named in mixed case, addresses are lower-case hex: only a header has its dash
    # before its first space.
    headers = [line for line in text.splitlines(keepends=True) if b"-" in line.partition(b" ")[0]]
    return parse_maps(b"".join(headers))


def line_of_query(vma: QueriedVma) -> Line:
    """Return the Line that maps would print for what a query found."""
    letters = zip(QueryFlags, "rwx", strict=False)
    permissions = "".join(letter if vma.flags & flag else "-" for flag, letter in letters)
    permissions += "s" if vma.flags & QueryFlags.VMA_SHARED else "p"
    device = f"{vma.dev_major:02x}:{vma.dev_minor:02x}"
    numbers = f"{permissions} {vma.offset:08x} {device} {vma.inode}".encode()
    name = vma.name.replace(b"\n", b"\\012")
    return Line(vma.start, vma.end, numbers + b" " + name if name else numbers)
