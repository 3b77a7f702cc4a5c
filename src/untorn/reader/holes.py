"""Holes between lines: which need a second look, and what to do if something is mapped there.

Since Linux 6.17 maps may leave out mapped ranges: within one fill, each lookup continues from an
iterator that a writer may have overtaken (docs/false-gap.md). The first lookup of a fill does not.
So a hole is certain if

- the kernel holds mmap_lock for a fill (before 6.17), or
- no thread of the process ran while the fill was read (see idleness.py), or
- a separate lookup, which starts at the hole and not at an iterator, finds nothing in it: one
  PROCMAP_QUERY per hole.

So a snapshot has every range that is mapped from its start to its end; a range that was unmapped at
some time in between may be left out.
"""

from functools import lru_cache

import numpy as np

from untorn.maps.entry import GATE_NAME, MapsEntry
from untorn.maps.page import ULONG_MAX
from untorn.reader.access.kernel_locks import decide, find_symbol
from untorn.reader.access.live_maps_file import LiveMapsFile
from untorn.reader.fills import Fills
from untorn.reader.lookup import next_entry
from untorn.reader.text.columns import Columns, Rows
from untorn.releases.changes import MAPS_PER_VMA, PROCMAP_QUERY_IOCTL
from untorn.releases.release import running_release


@lru_cache
def gaps_may_be_false() -> bool:
    """Return whether this kernel locks single VMAs to show maps, and not a whole fill.

    Some kernels between the ioctl and 6.17 have the change; their list of symbols shows it.
    """
    release = running_release()
    unsure = release.has(PROCMAP_QUERY_IOCTL) and not release.has(MAPS_PER_VMA)
    return decide("maps", release, find_symbol() if unsure else None).lock == "per-VMA"


def doubtful_holes(lines: Columns, fills: Fills) -> Rows:
    """Return the rows before the holes in fills during which the process may have run.

    The range after the last VMA counts, too: the rest of the map may have been left out.
    """
    ran = np.repeat(~np.array(fills.quiet, np.bool_), [text.count(b"\n") for text in fills.texts])
    hole = np.append(lines.start[1:] > lines.end[:-1], True)
    hole[-1] = lines.names[lines.name[-1]] != GATE_NAME
    return np.flatnonzero(hole & ran)


def false_gaps(file: LiveMapsFile, lines: Columns, holes: Rows) -> list[int]:
    """Look once into each hole; return the rows after which something is mapped.

    Raises:
        OSError: As MapsFile.query().
    """
    expected = np.append(lines.start[1:], np.uint64(ULONG_MAX))[holes].tolist()
    found = file.next_starts(lines.end[holes].tolist())
    looks = zip(holes.tolist(), expected, found, strict=True)
    return [row for row, limit, start in looks if start < limit]


def fill_in(file: LiveMapsFile, lines: Columns, gaps: list[int]) -> tuple[Columns, int]:
    """Insert what is mapped after these rows, by the ioctl, up to the next line that still holds.

    A line that begins below the end of an inserted VMA is older, and is dropped. Each lookup begins
    above the one before, so this ends, whatever writers do.

    Returns:
        The lines, which may overlap as the file's may, and how many were inserted.

    Raises:
        OSError: As MapsFile.query().
    """
    parts: list[Columns] = []
    taken = found = 0
    for row in gaps:
        if row < taken:
            continue
        parts.append(lines.take(slice(taken, row + 1)))
        entries, taken = _walk(file, lines, row)
        parts.append(Columns.of_entries(entries))
        found += len(entries)
    return Columns.join([*parts, lines.take(slice(taken, None))]), found


def _walk(file: LiveMapsFile, lines: Columns, row: int) -> tuple[list[MapsEntry], int]:
    """Return what is mapped from the end of a row on, and the next row that still holds."""
    entries: list[MapsEntry] = []
    addr, following = int(lines.end[row]), row + 1
    while entry := next_entry(file, addr):
        if following < len(lines) and entry.start >= lines.start[following]:
            break
        entries.append(entry)
        addr = entry.end
        following = max(following, int(np.searchsorted(lines.start, np.uint64(addr))))
    return entries, following
