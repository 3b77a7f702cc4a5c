"""Fields of a line of maps: permissions, device, and where the name stands."""

import os
from enum import IntFlag
from typing import NamedTuple


class Permissions(IntFlag):
    """What a VMA allows, and whether others see what is written; bits as PROCMAP_QUERY has them.

    As text it is what maps prints: rwxp, ---s. Source: include/uapi/linux/fs.h.
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
        """Return what four characters say. Raises ValueError if they are something else."""
        try:
            return BY_LETTERS[letters]
        except KeyError:
            raise ValueError(f"no permissions: {letters!r}; they are such as b'rw-p'") from None

    def __str__(self) -> str:
        return self.letters.decode()


LETTERS = tuple(
    bytes([b"-r"[i & 1], b"-w"[i >> 1 & 1], b"-x"[i >> 2 & 1], b"ps"[i >> 3]]) for i in range(16)
)
"""By the bits of Permissions."""
PERMISSIONS = tuple(map(Permissions, range(16)))
"""By their bits: much faster than to make one."""
BY_LETTERS = dict(zip(LETTERS, PERMISSIONS, strict=True))
"""By what maps prints."""


class Device(NamedTuple):
    """The device that a file is on, by its numbers; 0, 0 if there is no file."""

    major: int
    minor: int

    @classmethod
    def of(cls, st_dev: int) -> "Device":
        """Return what os.stat() has as one number."""
        return cls(os.major(st_dev), os.minor(st_dev))

    @property
    def st_dev(self) -> int:
        """The number that os.stat() has."""
        return os.makedev(self.major, self.minor)

    def __str__(self) -> str:
        return f"{self.major:02x}:{self.minor:02x}"


NO_DEVICE = Device(0, 0)
"""Where there is no file."""

NAME_COLUMN = 73
"""Column, from 0, where names begin unless the columns before take more room."""
NARROW_NAME_COLUMN = 49
"""The same on 32-bit machines."""
