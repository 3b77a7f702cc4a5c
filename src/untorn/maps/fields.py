"""Fields of a line of maps: permissions, device, and the column of the name."""

import os
from enum import IntFlag
from typing import NamedTuple


class Permissions(IntFlag):
    """The access that a VMA allows, and whether it is shared, with PROCMAP_QUERY's bits.

    As text they look as in maps: rwxp, ---s. Source: include/uapi/linux/fs.h.
    """

    READ = 0x01
    WRITE = 0x02
    EXECUTE = 0x04
    SHARED = 0x08

    @property
    def letters(self) -> bytes:
        """Four characters, such as rw-p."""
        return LETTERS[self & 0x0F]

    @classmethod
    def parse(cls, letters: bytes) -> "Permissions":
        """Parse four characters, such as rw-p. Raise ValueError if they are anything else."""
        try:
            return BY_LETTERS[letters]
        except KeyError:
            raise ValueError(f"not permissions: {letters!r}; they look like b'rw-p'") from None

    def __str__(self) -> str:
        return self.letters.decode()


LETTERS = tuple(
    bytes([b"-r"[i & 1], b"-w"[i >> 1 & 1], b"-x"[i >> 2 & 1], b"ps"[i >> 3]]) for i in range(16)
)
"""The four characters for each value of Permissions."""
PERMISSIONS = tuple(map(Permissions, range(16)))
"""The Permissions object for each value. A lookup is much faster than a call of Permissions()."""
BY_LETTERS = dict(zip(LETTERS, PERMISSIONS, strict=True))
"""The Permissions object for the four characters that maps prints."""


class Device(NamedTuple):
    """The device number of a file; 0, 0 if there is no file."""

    major: int
    minor: int

    @classmethod
    def of(cls, st_dev: int) -> "Device":
        """Make a Device from the st_dev of os.stat()."""
        return cls(os.major(st_dev), os.minor(st_dev))

    @property
    def st_dev(self) -> int:
        """The device as os.stat() has it in st_dev."""
        return os.makedev(self.major, self.minor)

    def __str__(self) -> str:
        return f"{self.major:02x}:{self.minor:02x}"


NO_DEVICE = Device(0, 0)
"""The device if there is no file."""

NAME_COLUMN = 73
"""The column, from 0, where names begin unless the columns before take more room."""
NARROW_NAME_COLUMN = 49
"""That column on 32-bit machines."""
