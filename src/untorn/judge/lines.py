"""The lines of a text, each a record of a VMA; equal if and only if all is equal."""

from functools import lru_cache

from untorn.maps.entry import MapsEntry
from untorn.maps.page import TASK_SIZE


@lru_cache(maxsize=1 << 16)
def parse_line(text: bytes) -> MapsEntry:
    """Return what a line of maps says, with its newline; the same is read but once.

    Raises:
        ValueError: It is not one.
    """
    return MapsEntry.parse(text)


def parse_maps(text: bytes) -> tuple[MapsEntry, ...]:
    """Return the lines of maps that are VMAs: without that of the gate VMA."""
    lines = map(parse_line, text.splitlines(keepends=True))
    return tuple(line for line in lines if line.start < TASK_SIZE)
