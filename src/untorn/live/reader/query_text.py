"""PROCMAP_QUERY by the text, where the kernel has no such ioctl. Compare do_procmap_query.py."""

import numpy as np

from untorn.fs.proc.maps_entry import MapsEntry
from untorn.fs.proc.procmap_query import PERMISSIONS, QueriedVma, QueryFlags
from untorn.live.reader.build_id import build_id_of
from untorn.live.reader.columns import BITS
from untorn.live.reader.holes import GATE
from untorn.live.reader.page_size import page_size_of
from untorn.live.reader.snapshot import Snapshot


def find_entry(snapshot: Snapshot, addr: int, flags: QueryFlags) -> MapsEntry | None:
    """Return the VMA that the ioctl would describe, None for ENOENT."""
    wanted, step = flags & PERMISSIONS, QueryFlags.COVERING_OR_NEXT_VMA in flags
    first = snapshot.first_above(addr)
    rows = np.flatnonzero(snapshot.perms[first:] & wanted == wanted) + first
    for row in rows.tolist():
        entry = snapshot[row]
        if not step and (row > first or addr < entry.start):
            return None
        fits = entry.has_file or QueryFlags.FILE_BACKED_VMA not in flags
        if fits and entry.name != GATE:
            return entry
    return None


def as_queried(entry: MapsEntry, pid: int, proc: str, *, build_id: bool) -> QueriedVma:
    """Return what the ioctl tells of a VMA beyond its line.

    Raises:
        OSError: What was asked for needs a file that cannot be read.
    """
    return QueriedVma(
        start=entry.start,
        end=entry.end,
        flags=QueryFlags(BITS[entry.permissions]),
        page_size=page_size_of(entry, pid, proc),
        offset=entry.offset,
        dev_major=entry.device[0],
        dev_minor=entry.device[1],
        inode=entry.inode,
        name=entry.name,
        build_id=build_id_of(entry, pid, proc) if build_id and entry.has_file else b"",
    )
