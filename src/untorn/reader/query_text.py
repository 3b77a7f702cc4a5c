"""PROCMAP_QUERY by the text, where the kernel has no such ioctl. Compare do_procmap_query.py."""

import numpy as np

from untorn.maps.entry import GATE_NAME, MapsEntry
from untorn.maps.procmap_query import PERMISSION_BITS, QueryFlags
from untorn.reader.lookup import KERNEL_HALF
from untorn.reader.snapshot import Snapshot


def find_entry(snapshot: Snapshot, addr: int, flags: int) -> MapsEntry | None:
    """Return the VMA that the ioctl would describe, None for ENOENT.

    In the kernel's half, where the ioctl finds nothing, [vsyscall] is found.
    """
    wanted, step = flags & PERMISSION_BITS, flags & QueryFlags.COVERING_OR_NEXT_VMA
    first = snapshot.first_above(addr)
    rows = np.flatnonzero(snapshot.permissions[first:] & wanted == wanted) + first
    for row in rows.tolist():
        entry = snapshot[row]
        if not step and (row > first or addr < entry.start):
            return None
        fits = entry.has_file or not flags & QueryFlags.FILE_BACKED_VMA
        if fits and (entry.name != GATE_NAME or addr >= KERNEL_HALF):
            return entry
    return None
