"""The text of a maps file, fill by fill.

A fill is what the kernel prints at one go: whole lines, about a page of them. Before Linux 6.17
it holds mmap_lock for the length of a fill. This is all that a reader keeps still, and all that
it keeps others from: a gentle reader is a file whose read() is gentle.

Source: fs/seq_file.c:seq_read_iter().
"""

from typing import NamedTuple

from untorn.live.maps_file import LiveMapsFile
from untorn.live.reader.cpu_clock import CpuClock

FILL_SIZE = 1 << 16
"""Bytes to ask for, more than any fill has. A smaller read() would end within a fill, and the
next one return the rest of that and another."""
LEAST_LINE = len(b"00400000-00401000 r--p 00000000 00:00 0 \n")
"""Bytes to ask for to get no fill of more than one line. The kernel then begins each lookup where
the line before ended, so a text read like this has no false gap."""


class Fills(NamedTuple):
    """One pass over the file."""

    texts: list[bytes]
    quiet: list[bool]
    """For each, whether the process did not run while it was read."""


def read_fills(file: LiveMapsFile, size: int, clock: CpuClock | None = None) -> Fills:
    """Read the file from its start to its end, size bytes at most a call."""
    file.seek(0)
    fills = Fills([], [])
    before = clock() if clock else 0
    while text := file.read(size):
        fills.texts.append(text)
        now = clock() if clock else before + 1
        fills.quiet.append(now == before)
        before = now
    return fills
