"""One line of /proc/PID/maps, read. Compare maps_line.py, which writes them; proc_pid_maps(5)."""

import re
from dataclasses import dataclass
from typing import Self

_LINE = re.compile(
    rb"([0-9a-f]{8,16})-([0-9a-f]{8,16}) ([r-][w-][x-][ps]) ([0-9a-f]{8,16}) "
    rb"([0-9a-f]{2,8}):([0-9a-f]{2,8}) (\d+) (?: *([^ \n][^\n]*))?\n"
)


@dataclass(frozen=True, slots=True)
class MapsEntry:
    """What a line says.

    Attributes:
        start, end: Byte addresses, end exclusive.
        permissions: Four characters, such as rw-p.
        offset: Bytes into the file.
        device: Major and minor number; 0, 0 if there is no file.
        inode: 0 if there is no file.
        name: Path or other name, newlines no longer escaped; empty if there is none.
    """

    start: int
    end: int
    permissions: bytes
    offset: int
    device: tuple[int, int]
    inode: int
    name: bytes

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """Read a line, with its newline.

        Raises:
            ValueError: It is not one; the message says why.
        """
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError("is cut off" if line[-1:] != b"\n" else "is not a line of maps")
        start, end, offset, major, minor = (int(match[n], 16) for n in (1, 2, 4, 5, 6))
        if start >= end:
            raise ValueError("ends before it begins")
        name = (match[8] or b"").replace(b"\\012", b"\n")
        return cls(start, end, match[3], offset, (major, minor), int(match[7]), name)

    @property
    def has_file(self) -> bool:
        """Whether a file is mapped, as opposed to anonymous memory or a special mapping."""
        return bool(self.inode) or self.device != (0, 0) or self.name[:1] not in (b"", b"[")

    @property
    def shared(self) -> bool:
        """Whether others see what is written."""
        return self.permissions.endswith(b"s")
