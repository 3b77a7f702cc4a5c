"""The text of a maps file, fill by fill.

A fill is what the kernel prints at one go: whole lines, about a page of them. Before Linux 6.17
it holds mmap_lock for the length of a fill. This is all that a reader keeps still, and all that
it keeps others from: a gentle reader is a file whose read() is gentle. A read() of fewer bytes
than a fill has ends within it, and the next one returns the rest of it and another.

Source: fs/seq_file.c:seq_read_iter().
"""

from itertools import islice
from typing import NamedTuple

from untorn.reader.access.idleness import Idleness
from untorn.reader.access.live_maps_file import LiveMapsFile

LEAST_LINE = len(b"00400000-00401000 r--p 00000000 00:00 0 \n")
"""Bytes to ask for to get no fill of more than one line. The kernel then begins each lookup where
the line before ended, so a text read like this has no false gap."""


SEGMENT = 64
"""Fills after which we ask whether the process slept meanwhile: about 2 ms."""
FEW = 8
"""Fills; to look into the holes of so few costs no more than to ask."""


class Fills(NamedTuple):
    """One pass over the file."""

    texts: list[bytes]
    quiet: list[bool]
    """For each, whether it is known that the process did not run while it was read."""


def read_fills(file: LiveMapsFile, size: int, idleness: Idleness | None = None) -> Fills:
    """Read the file from its start to its end, size bytes at most a call."""
    texts = file.fills(size)
    fills = Fills([], [])
    if idleness:
        idleness.start()
    more = True
    while more:
        segment = list(islice(texts, SEGMENT))
        more = len(segment) == SEGMENT
        fills.texts.extend(segment)
        quiet = idleness is not None and len(segment) >= FEW and idleness.slept()
        fills.quiet.extend([quiet] * len(segment))
    return fills
