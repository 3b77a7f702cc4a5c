"""The lines of a text, each a record of a VMA; equal if and only if all is equal."""

from collections.abc import Callable, Mapping
from functools import lru_cache

from untorn.maps.entry import MapsEntry
from untorn.maps.page import TASK_SIZE


@lru_cache(maxsize=1 << 16)
def parse_line(text: bytes) -> MapsEntry:
    """Return what a line of maps says, with its newline; the same text is parsed only once.

    Raises:
        ValueError: It is not one.
    """
    return MapsEntry.parse(text)


def parse_lines(text: bytes, file: str = "maps") -> tuple[MapsEntry, ...]:
    """Return the VMAs that a text shows, without the gate VMA.

    Args:
        text: Whole lines.
        file: Whose text it is, by VMA_LINES.

    Raises:
        ValueError: A line that should be one of maps is none.
    """
    lines = map(parse_line, VMA_LINES[file](text).splitlines(keepends=True))
    return tuple(line for line in lines if line.start < TASK_SIZE)


def _headers(text: bytes) -> bytes:
    """Return the first line of each record of smaps, which is what maps shows of the VMA."""
    # Fields are named in mixed case, addresses are lower-case hex: only a header has its dash
    # before its first space.
    lines = text.splitlines(keepends=True)
    return b"".join(line for line in lines if b"-" in line.partition(b" ")[0])


VMA_LINES: Mapping[str, Callable[[bytes], bytes]] = {
    "maps": bytes,  # all of it
    "smaps": _headers,
}
"""By file of /proc/PID whose text shows where VMAs begin and end: what returns these lines.

smaps_rollup does not show it, and numa_maps only where they begin."""
