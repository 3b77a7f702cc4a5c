"""The lines of a text, each a record of a VMA; records are equal only if every field is."""

from collections.abc import Callable, Mapping
from functools import lru_cache

from untorn.maps.entry import MapsEntry
from untorn.maps.page import TASK_SIZE


@lru_cache(maxsize=1 << 16)
def parse_line(text: bytes) -> MapsEntry:
    """Parse a line of maps, with its newline; the same text is parsed only once.

    Raises:
        ValueError: It is not a line of maps.
    """
    return MapsEntry.parse(text)


def parse_lines(text: bytes, file: str = "maps") -> tuple[MapsEntry, ...]:
    """Return the VMAs that a text shows, without the gate VMA.

    Args:
        text: Whole lines.
        file: The file that the text is from: a key of VMA_LINES.

    Raises:
        ValueError: A line that should be a line of maps is not one.
    """
    lines = map(parse_line, VMA_LINES[file](text).splitlines(keepends=True))
    return tuple(line for line in lines if line.start < TASK_SIZE)


def _headers(text: bytes) -> bytes:
    """Return the first line of each record of smaps: the line of the VMA in maps."""
    # Field names have capital letters, addresses are lower-case hex: only a header has a dash
    # before its first space.
    lines = text.splitlines(keepends=True)
    return b"".join(line for line in lines if b"-" in line.partition(b" ")[0])


VMA_LINES: Mapping[str, Callable[[bytes], bytes]] = {
    "maps": bytes,  # all of it
    "smaps": _headers,
}
"""By file of /proc/PID that shows where VMAs begin and end: a function that returns these lines.

smaps_rollup does not show it, and numa_maps shows only where they begin."""
