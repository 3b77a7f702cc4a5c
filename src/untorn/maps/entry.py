"""One line of /proc/PID/maps, read and written.

Compare fs/proc/task_mmu.c:show_vma_header_prefix(), show_map_vma(); proc_pid_maps(5).
"""

import re
from typing import NamedTuple, Self

from untorn.maps.page import ULONG_MAX

ENDING = rb"([0-9a-f]{2,3}):([0-9a-f]{2,5}) (\d{1,20}) (?: *((?!\r+(?:\n|\Z))[^ \n][^\n]*))?"
"""A line from its device on: major and minor number, inode, name; a regular expression.

A name may end with carriage returns, but no name is nothing else.
"""
_LINE = re.compile(
    rb"([0-9a-f]{8,16})-([0-9a-f]{8,16}) ([r-][w-][x-][ps]) ([0-9a-f]{8,16}) " + ENDING + rb"\n"
)
PERMISSION_LETTERS = tuple(
    bytes([b"-r"[i & 1], b"-w"[i >> 1 & 1], b"-x"[i >> 2 & 1], b"ps"[i >> 3]]) for i in range(16)
)
"""By the bits VMA_READABLE, VMA_WRITABLE, VMA_EXECUTABLE and VMA_SHARED of QueryFlags."""
DELETED = b" (deleted)"
"""What the kernel puts behind the path of a file that has no name any more."""


def maps_line(
    start: int,
    end: int,
    permissions: bytes,
    offset: int,
    dev_major: int,
    dev_minor: int,
    inode: int,
    name: bytes,
) -> bytes:
    """Return the line of these fields; newlines in the name are escaped."""
    numbers = start, end, permissions, offset, dev_major, dev_minor, inode
    prefix = b"%08x-%08x %s %08x %02x:%02x %d " % numbers
    if not name:
        return prefix + b"\n"
    return b"%-72s %s\n" % (prefix, name.replace(b"\n", b"\\012"))


def is_deleted(name: bytes) -> bool:
    """Tell whether a name is that of a deleted file: see MapsEntry.deleted."""
    return name.endswith(DELETED) and not name.startswith(b"[")


class MapsEntry(NamedTuple):
    """What a line says."""

    start: int
    """Byte address."""
    end: int
    """Byte address behind the last one."""
    permissions: bytes
    """Four characters, such as rw-p."""
    offset: int
    """Bytes into the file."""
    device: tuple[int, int]
    """Major and minor number; 0, 0 if there is no file."""
    inode: int
    """0 if there is no file."""
    name: bytes
    """As the kernel wrote it, but newlines no longer escaped; empty if there is none.

    Of a path, the kernel escapes nothing but newlines, as \\012: the text does not tell a newline
    from these four characters. The ioctl does: see QueriedVma.name.
    """

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """Read a line, with its newline.

        Raises:
            ValueError: It is not one; the message says in which column it differs first from what
                Linux prints, and how.
        """
        match = _LINE.fullmatch(line)
        if match is None:
            raise _refusal(line)
        start, end, permissions, offset, major, minor, inode, name = match.groups()
        addresses = int(start, 16), int(end, 16)
        if addresses[0] >= addresses[1] or int(inode) > ULONG_MAX:
            raise _refusal(line)
        device = int(major, 16), int(minor, 16)
        name = name.replace(b"\\012", b"\n") if name else b""
        return cls(*addresses, permissions, int(offset, 16), device, int(inode), name)

    def line(self) -> bytes:
        """Return the line that says this."""
        return maps_line(*self[:4], *self.device, self.inode, self.name)

    @property
    def has_file(self) -> bool:
        """Whether a file is mapped, as opposed to anonymous memory or a special mapping."""
        return bool(self.inode) or self.device != (0, 0) or self.name[:1] not in (b"", b"[")

    @property
    def executable(self) -> bool:
        """Whether what is there may be run."""
        return self.permissions[2:3] == b"x"

    def offset_of(self, addr: int) -> int:
        """Return how many bytes into the file a byte address of this VMA lies."""
        return self.offset + addr - self.start

    @property
    def deleted(self) -> bool:
        """Whether the file has no name any more, or one that ends in " (deleted)".

        The text does not tell one from the other. Memory that was never in a directory, such as
        that of memfd_create(2), counts as deleted.
        """
        return is_deleted(self.name)

    @property
    def shared(self) -> bool:
        """Whether others see what is written."""
        return self.permissions.endswith(b"s")


def _refusal(line: bytes) -> ValueError:
    from untorn.maps.scan import first_difference

    what = "is not a line of maps" if line.endswith(b"\n") else "is cut off"
    return ValueError(f"{what}, {first_difference(line)}")
