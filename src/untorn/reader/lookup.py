"""One VMA of an open maps file: by the ioctl, or by a text that leaves nothing out.

The ioctl has no room for a name longer than PATH_MAX; the text has.
"""

import errno
from collections.abc import Iterator
from functools import partial

from untorn.maps.entry import PERMISSION_LETTERS, MapsEntry
from untorn.maps.maps_file import no_query
from untorn.maps.procmap_query import QueriedVma, QueryFlags
from untorn.reader.access.maps_file import LiveMapsFile
from untorn.reader.fills import LEAST_LINE

GATE = b"[vsyscall]"
"""What the text shows and the ioctl does not. Source: fs/proc/task_mmu.c:get_gate_vma()."""

KERNEL_HALF = 1 << 63
"""Byte address from which on nothing else is mapped."""


def entry_of(vma: QueriedVma) -> MapsEntry:
    """Return what the line of a VMA says that was queried with its name."""
    device = vma.dev_major, vma.dev_minor
    permissions = PERMISSION_LETTERS[vma.flags]
    return MapsEntry(vma.start, vma.end, permissions, vma.offset, device, vma.inode, vma.name)


def next_entry(file: LiveMapsFile, addr: int) -> MapsEntry | None:
    """Return the VMA that covers a byte address, or the next one above; None if there is none.

    May move the file. Raises OSError as MapsFile.query().
    """
    try:
        return entry_of(file.query(addr, QueryFlags.COVERING_OR_NEXT_VMA))
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG and not no_query(error):
            raise
    return entry_above(file, addr)


def entry_above(file: LiveMapsFile, addr: int) -> MapsEntry | None:
    """Return the same by the text, read line by line: what is mapped all the time is found."""
    entries = (entry for entry in _lines(file) if entry.name != GATE)
    return next((entry for entry in entries if entry.end > addr), None)


def _lines(file: LiveMapsFile) -> Iterator[MapsEntry]:
    file.seek(0)
    text = b""
    for piece in iter(partial(file.read, LEAST_LINE), b""):
        *lines, text = (text + piece).split(b"\n")
        for line in lines:
            yield MapsEntry.parse(line + b"\n")
