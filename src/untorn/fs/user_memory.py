"""The memory of the program that makes a system call: copy_from_user() and copy_to_user()."""

import errno
from typing import Protocol

from untorn.errors import os_error


class UserMemory(Protocol):
    """Byte-addressed memory. An emulator passes its own."""

    def copy_from_user(self, addr: int, size: int) -> bytes:
        """Return size bytes at addr. Raise OSError EFAULT if some are not readable."""

    def copy_to_user(self, addr: int, data: bytes) -> None:
        """Write data at addr. Raise OSError EFAULT if some bytes are not writable."""


class FlatMemory:
    """A buffer that begins at a byte address. One task owns it."""

    __slots__ = ("base", "data")

    def __init__(self, size: int, base: int = 0x10000) -> None:
        self.base = base
        self.data = bytearray(size)

    def copy_from_user(self, addr: int, size: int) -> bytes:
        """Return size bytes at addr. Raise OSError EFAULT outside the buffer."""
        offset = self._offset(addr, size)
        return bytes(self.data[offset : offset + size])

    def copy_to_user(self, addr: int, data: bytes) -> None:
        """Write data at addr. Raise OSError EFAULT outside the buffer."""
        offset = self._offset(addr, len(data))
        self.data[offset : offset + len(data)] = data

    def _offset(self, addr: int, size: int) -> int:
        offset = addr - self.base
        if offset < 0 or offset + size > len(self.data):
            raise os_error(errno.EFAULT)
        return offset
