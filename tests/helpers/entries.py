"""Records of VMAs, in few words."""

from untorn.maps.entry import MapsEntry
from untorn.maps.fields import Device, Permissions


def record(
    start: int,
    end: int,
    letters: bytes = b"rw-p",
    offset: int = 0,
    device: tuple[int, int] = (0, 0),
    inode: int = 0,
    name: bytes = b"",
) -> MapsEntry:
    """Return the record that a line of maps with these fields has."""
    return MapsEntry(start, end, Permissions.parse(letters), offset, Device(*device), inode, name)


def line(start: int, end: int, name: bytes = b"") -> MapsEntry:
    """Return the record of a range that may be read and written."""
    return record(start, end, name=name)
