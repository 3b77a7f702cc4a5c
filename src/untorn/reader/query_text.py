"""PROCMAP_QUERY by the text, where the kernel has no such ioctl. Compare do_procmap_query.py."""

import numpy as np

from untorn.maps.entry import MapsEntry
from untorn.maps.procmap_query import PERMISSIONS, QueriedVma, QueryFlags
from untorn.reader.lookup import GATE, KERNEL_HALF
from untorn.reader.snapshot import Snapshot
from untorn.reader.text.columns import BITS


def find_entry(snapshot: Snapshot, addr: int, flags: QueryFlags) -> MapsEntry | None:
    """Return the VMA that the ioctl would describe, None for ENOENT.

    In the kernel's half, where the ioctl finds nothing, [vsyscall] is found.
    """
    wanted, step = flags & PERMISSIONS, QueryFlags.COVERING_OR_NEXT_VMA in flags
    first = snapshot.first_above(addr)
    rows = np.flatnonzero(snapshot.perms[first:] & wanted == wanted) + first
    for row in rows.tolist():
        entry = snapshot[row]
        if not step and (row > first or addr < entry.start):
            return None
        fits = entry.has_file or QueryFlags.FILE_BACKED_VMA not in flags
        if fits and (entry.name != GATE or addr >= KERNEL_HALF):
            return entry
    return None


def as_queried(entry: MapsEntry, page_size: int) -> QueriedVma:
    """Return what the ioctl tells of a VMA, but for its build id; page_size is in bytes."""
    return QueriedVma(
        start=entry.start,
        end=entry.end,
        flags=QueryFlags(BITS[entry.permissions]),
        page_size=page_size,
        offset=entry.offset,
        dev_major=entry.device[0],
        dev_minor=entry.device[1],
        inode=entry.inode,
        name=entry.name,
        build_id=b"",
    )
