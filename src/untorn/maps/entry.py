"""The record of a VMA, and the line of /proc/PID/maps for it.

Compare fs/proc/task_mmu.c:show_vma_header_prefix(), show_map_vma(); proc_pid_maps(5).
"""

import re
from operator import index
from typing import NamedTuple, Self, SupportsIndex

from untorn.maps.fields import BY_LETTERS, LETTERS, NAME_COLUMN, NO_DEVICE, Device, Permissions
from untorn.maps.page import ULONG_MAX

ENDING = rb"([0-9a-f]{2,3}):([0-9a-f]{2,5}) (\d{1,20}) (?: *((?!\r+(?:\n|\Z))[^ \n][^\n]*))?"
"""A regular expression for a line from its device on: major and minor number, inode, name.

A name may end with carriage returns, but may not consist of them alone.
"""
_LINE = re.compile(
    rb"([0-9a-f]{8,16})-([0-9a-f]{8,16}) ([r-][w-][x-][ps]) ([0-9a-f]{8,16}) " + ENDING + rb"\n"
)
_NAMED_LINE = b"%%-%ds %%s\n" % (NAME_COLUMN - 1)
DELETED = b" (deleted)"
"""The kernel's suffix for the path of a file that no longer has a name."""
GATE_NAME = b"[vsyscall]"
"""The name of the gate VMA, which maps shows and PROCMAP_QUERY does not.

Source: fs/proc/task_mmu.c:get_gate_vma().
"""
ROLLUP_NAME = b"[rollup]"
"""The name in the line of smaps_rollup, whose range goes from the first VMA to the last."""


def maps_line(
    start: int,
    end: int,
    permissions: int,
    offset: int,
    device: tuple[int, int],
    inode: int,
    name: bytes,
) -> bytes:
    """Return the line with these fields. Newlines in the name are escaped."""
    major, minor = device
    numbers = start, end, LETTERS[permissions], offset, major, minor, inode
    prefix = b"%08x-%08x %s %08x %02x:%02x %d " % numbers
    if not name:
        return prefix + b"\n"
    return _NAMED_LINE % (prefix, name.replace(b"\n", b"\\012"))


def rollup_line(start: int, end: int) -> bytes:
    """Return the line of smaps_rollup for VMAs from byte address start to end."""
    return maps_line(start, end, 0, 0, NO_DEVICE, 0, ROLLUP_NAME)


def is_deleted(name: bytes) -> bool:
    """Return whether a name is that of a deleted file; see MapsEntry.deleted."""
    return name.endswith(DELETED) and not name.startswith(b"[")


class MapsEntry(NamedTuple):
    """One VMA as a line of maps shows it. A byte address is `in` it if the VMA covers it."""

    start: int
    """Byte address."""
    end: int
    """Byte address after the last one."""
    permissions: Permissions
    offset: int
    """Bytes into the file; 0 if there is no file."""
    device: Device
    inode: int
    """0 if there is no file."""
    name: bytes
    """The name as the kernel wrote it, with newlines unescaped; empty if there is none.

    In a path, the kernel escapes only newlines, as \\012. So in the text, a newline and these four
    characters look the same. PROCMAP_QUERY tells them apart.
    """

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """Parse a line with its newline.

        Raises:
            ValueError: It is not a line of maps; the message gives the first column that differs
                from what Linux prints, and the difference.
        """
        match = _LINE.fullmatch(line)
        if match is None:
            raise _refusal(line)
        start, end, letters, offset, major, minor, inode, name = match.groups()
        addresses = int(start, 16), int(end, 16)
        if addresses[0] >= addresses[1] or int(inode) > ULONG_MAX:
            raise _refusal(line)
        device = Device(int(major, 16), int(minor, 16))
        name = name.replace(b"\\012", b"\n") if name else b""
        return cls(*addresses, BY_LETTERS[letters], int(offset, 16), device, int(inode), name)

    def line(self) -> bytes:
        """Return the line for this entry, with its newline."""
        return maps_line(*self)

    @property
    def size(self) -> int:
        """The size of the VMA in bytes."""
        return self.end - self.start

    @property
    def readable(self) -> bool:
        """Whether the memory may be read."""
        return Permissions.READ in self.permissions

    @property
    def writable(self) -> bool:
        """Whether the memory may be written."""
        return Permissions.WRITE in self.permissions

    @property
    def executable(self) -> bool:
        """Whether the memory may be executed."""
        return Permissions.EXECUTE in self.permissions

    @property
    def shared(self) -> bool:
        """Whether other mappings see what is written."""
        return Permissions.SHARED in self.permissions

    @property
    def has_file(self) -> bool:
        """Whether a file is mapped, and not anonymous memory or a special mapping."""
        return bool(self.inode) or self.device != NO_DEVICE or self.name[:1] not in (b"", b"[")

    @property
    def deleted(self) -> bool:
        """Whether the file no longer has a name, or has one that ends in " (deleted)".

        In the text, the two look the same. Memory that was never in a directory, such as that of
        memfd_create(2), counts as deleted.
        """
        return is_deleted(self.name)

    def offset_of(self, addr: int) -> int:
        """Return the offset in the file, in bytes, of a byte address in this VMA."""
        return self.offset + addr - self.start

    def __contains__(self, addr: object) -> bool:
        # numpy.uint64, an element of a column, supports __index__() but is not an int.
        return isinstance(addr, SupportsIndex) and self.start <= index(addr) < self.end

    def __str__(self) -> str:
        return " ".join(self.line().decode(errors="replace").split(maxsplit=5)).rstrip("\n")


def _refusal(line: bytes) -> ValueError:
    from untorn.maps.scan import first_difference

    what = "is not a line of maps" if line.endswith(b"\n") else "is cut off"
    return ValueError(f"{what}, {first_difference(line)}")
