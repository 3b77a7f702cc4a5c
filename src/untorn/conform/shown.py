"""What maps must show from an address on: "2 rw-p, 1 ., 3 r--s @4".

Each item is one VMA: how many pages it has, its permissions and, if that matters, its offset in
pages; a dot stands for an unmapped range.
"""

import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import NamedTuple

from untorn.maps.entry import MapsEntry
from untorn.maps.page import PAGE_SIZE

_RUN = re.compile(r"(\d+) (\.|[r-][w-][x-][sp])(?: @(\d+))?")


class Run(NamedTuple):
    """Pages of one VMA, or of none."""

    pages: int
    permissions: str
    """As in maps; a dot for none."""
    offset: int | None = None
    """In pages; None if it does not matter."""

    def __str__(self) -> str:
        offset = "" if self.offset is None else f" @{self.offset}"
        return f"{self.pages} {self.permissions}{offset}"


def parse_runs(text: str) -> tuple[Run, ...]:
    """Parse such a text.

    Raises:
        ValueError: It is no such text.
    """
    matches = [_RUN.fullmatch(word.strip()) for word in text.split(",")]
    runs = tuple(
        Run(int(match[1]), match[2], int(match[3]) if match[3] else None)
        for match in matches
        if match
    )
    if len(runs) < len(matches) or not all(run.pages for run in runs):
        raise ValueError(f"{text.strip()!r} is nothing that maps could show")
    return runs


def runs_from(maps: bytes, addr: int, wanted: tuple[Run, ...]) -> list[Run]:
    """Return what maps shows from byte address addr on, for as many pages as are wanted.

    A VMA that is only partly in that range is shown with all its pages. Where offsets do not
    matter, they are those of the wanted runs.
    """
    end = addr + sum(run.pages for run in wanted) * PAGE_SIZE
    entries = (MapsEntry.parse(line) for line in maps.splitlines(keepends=True))
    there = [entry for entry in entries if entry.start < end and entry.end > addr]
    pairs = zip_longest(_runs(there, addr, end), wanted)
    return [
        run._replace(offset=None) if want is not None and want.offset is None else run
        for run, want in pairs
        if run is not None
    ]


def _runs(entries: list[MapsEntry], addr: int, end: int) -> Iterator[Run]:
    for entry in entries:
        if entry.start > addr:
            yield Run((entry.start - addr) // PAGE_SIZE, ".")
        pages, offset = entry.size // PAGE_SIZE, entry.offset // PAGE_SIZE
        yield Run(pages, str(entry.permissions), offset)
        addr = entry.end
    if addr < end:
        yield Run((end - addr) // PAGE_SIZE, ".")
