"""Take a snapshot of an open maps file: read, parse, check, resolve."""

import errno
import time
from dataclasses import replace

from untorn.errors import os_error
from untorn.maps.maps_file import FILL_SIZE
from untorn.reader.access.idleness import Idleness
from untorn.reader.access.live_maps_file import LiveMapsFile
from untorn.reader.fills import LEAST_LINE, Fills, read_fills
from untorn.reader.holes import doubtful_holes, false_gaps, fill_in, gaps_may_be_false
from untorn.reader.snapshot import Coherence, Snapshot
from untorn.reader.text.columns import Columns, Rows, resolve_overlaps
from untorn.reader.text.parse import parse


def take_snapshot(
    file: LiveMapsFile, idleness: Idleness | None, previous: Snapshot | None, *, ioctl: bool = True
) -> Snapshot:
    """Read the whole file and return a snapshot without false gaps, duplicates and overlaps.

    Args:
        file: The maps file to read.
        idleness: Detects whether the process sleeps; None if nothing can: then it counts as
            running.
        previous: An older snapshot, to reuse what did not change.
        ioctl: Whether PROCMAP_QUERY may be used, if there is one.

    Raises:
        OSError: ESRCH if the process has no memory. It may never have had any, or have lost it
            while it was read.
    """
    began = time.perf_counter_ns()
    fills = read_fills(file, FILL_SIZE, idleness)
    ioctl = ioctl and not file.find_query_refusal()
    if not ioctl:
        _check_alive(file)
    doubt = gaps_may_be_false() and not all(fills.quiet)
    done = Coherence(len(fills.texts), sum(fills.quiet), read_ns=time.perf_counter_ns() - began)
    if doubt and not ioctl:
        fills, done = _read_again(file, done)
    lines = previous.parse_next(fills.texts) if previous else parse(fills.texts)
    whole = lines
    if doubt and ioctl and len(lines):
        whole, done = _check_holes(file, lines, doubtful_holes(lines, fills), done)
    columns, overlaps = resolve_overlaps(whole)
    return Snapshot(columns, replace(done, overlaps=overlaps), fills.texts, lines)


def _check_alive(file: LiveMapsFile) -> None:
    """Raise OSError ESRCH if there is no memory: then the text so far may be truncated.

    Lost memory never comes back, so one byte now proves that the end was the real end.
    """
    file.seek(0)
    if not file.read(1):
        raise os_error(errno.ESRCH)


def _read_again(file: LiveMapsFile, done: Coherence) -> tuple[Fills, Coherence]:
    """Read the file line by line, which takes several times as long."""
    began = time.perf_counter_ns()
    pieces = read_fills(file, LEAST_LINE)
    fills = Fills([b"".join(pieces.texts)], [True])
    _check_alive(file)
    return fills, replace(done, by_lines=True, check_ns=time.perf_counter_ns() - began)


def _check_holes(
    file: LiveMapsFile, lines: Columns, holes: Rows, done: Coherence
) -> tuple[Columns, Coherence]:
    """Look into the holes, and insert what was left out."""
    began = time.perf_counter_ns()
    gaps = false_gaps(file, lines, holes)
    put_in = 0
    if gaps:
        lines, put_in = fill_in(file, lines, gaps)
    check_ns = time.perf_counter_ns() - began
    checked = replace(
        done, checked_holes=len(holes), false_gaps=len(gaps), put_in=put_in, check_ns=check_ns
    )
    return lines, checked
