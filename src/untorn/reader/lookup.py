"""One VMA of an open maps file: by the ioctl, or by a text that leaves nothing out.

The ioctl has no room for a name longer than PATH_MAX; the text has.
"""

import errno
from collections.abc import Iterator

from untorn.maps.entry import GATE_NAME, MapsEntry
from untorn.maps.maps_file import query_refusal
from untorn.reader.access.live_maps_file import LiveMapsFile
from untorn.reader.fills import LEAST_LINE


def next_entry(file: LiveMapsFile, addr: int) -> MapsEntry | None:
    """Return the VMA that covers a byte address, or the next one above; None if there is none.

    May move the file. Raises OSError as MapsFile.query().
    """
    try:
        return file.query(addr, next=True).entry
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG and not query_refusal(error):
            raise
    return entry_above(file, addr)


def entry_above(file: LiveMapsFile, addr: int) -> MapsEntry | None:
    """Return the same from the text, read line by line, so that what stays mapped is found."""
    entries = (entry for entry in _lines(file) if entry.name != GATE_NAME)
    return next((entry for entry in entries if entry.end > addr), None)


def _lines(file: LiveMapsFile) -> Iterator[MapsEntry]:
    text = b""
    for piece in file.fills(LEAST_LINE):
        *lines, text = (text + piece).split(b"\n")
        for line in lines:
            yield MapsEntry.parse(line + b"\n")
