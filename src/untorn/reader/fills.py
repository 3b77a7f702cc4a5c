"""The text of a maps file, fill by fill.

A fill is what the kernel prints in one go: whole lines, about a page of them. Before Linux 6.17 it
holds mmap_lock during a fill. That is all that a reader keeps still, and all that it blocks others
for: a gentle reader is a file whose read() is gentle. A read() of fewer bytes than the fill has
leaves the rest of it to the next read(), which then also returns another fill.

Source: fs/seq_file.c:seq_read_iter().
"""

from itertools import islice
from typing import NamedTuple

from untorn.reader.access.idleness import Idleness
from untorn.reader.access.live_maps_file import LiveMapsFile

LEAST_LINE = len(b"00400000-00401000 r--p 00000000 00:00 0 \n")
"""Bytes to ask for so that no fill has more than one line. The kernel then begins each lookup where
the line before ended, so a text read this way has no false gap."""


SEGMENT = 64
"""After how many fills we ask whether the process slept meanwhile: about 2 ms."""
FEW = 8
"""Fills; to look into the holes of so few is as cheap as to ask."""


class Fills(NamedTuple):
    """One pass over the file."""

    texts: list[bytes]
    quiet: list[bool]
    """For each fill, whether it is known that the process did not run while it was read."""


def read_fills(file: LiveMapsFile, size: int, idleness: Idleness | None = None) -> Fills:
    """Read the file from start to end, with at most size bytes per call."""
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
