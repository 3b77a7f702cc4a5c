"""struct procmap_query: the argument and answer of the PROCMAP_QUERY ioctl.

The engine's ioctl and the reader of live processes use it.
Source: include/uapi/linux/fs.h, struct procmap_query; proc_pid_maps(5).
"""

import struct
from enum import IntFlag
from typing import NamedTuple, Self

from untorn.maps.entry import MapsEntry
from untorn.maps.fields import PERMISSIONS, Device

PROCMAP_QUERY = 0xC0686611
"""The number of the ioctl: _IOWR('f', 17, struct procmap_query)."""
PATH_MAX = 4096
"""The size in bytes of the largest name that the ioctl returns, including the final NUL.

Source: limits.h, PATH_MAX.
"""
BUILD_ID_SIZE_MAX = 20
"""The size in bytes of the largest build id. Source: include/linux/buildid.h."""

_LAYOUT = struct.Struct("=9Q4I2Q")
SIZE = _LAYOUT.size
"""The size of the whole struct in bytes (104)."""
MIN_SIZE = 24
"""The size in bytes of the shortest struct that the kernel accepts: size, flags and address."""


class QueryFlags(IntFlag):
    """The kind of VMA wanted. The lower bits are the Permissions that it must have."""

    COVERING_OR_NEXT_VMA = 0x10
    FILE_BACKED_VMA = 0x20


PERMISSION_BITS = 0x0F
"""The bits of Permissions in query_flags and vma_flags."""
VALID_FLAGS = 0x3F
"""The valid bits of query_flags; any other bit is EINVAL."""


class ProcmapQuery(NamedTuple):
    """One struct procmap_query. Addresses, offsets and sizes are in bytes."""

    size: int = SIZE
    query_flags: int = 0
    """Bits of QueryFlags and Permissions."""
    query_addr: int = 0
    vma_start: int = 0
    vma_end: int = 0
    vma_flags: int = 0
    """Bits of Permissions."""
    vma_page_size: int = 0
    vma_offset: int = 0
    inode: int = 0
    dev_major: int = 0
    dev_minor: int = 0
    vma_name_size: int = 0
    build_id_size: int = 0
    vma_name_addr: int = 0
    build_id_addr: int = 0

    def pack(self) -> bytes:
        """Return the struct's SIZE bytes."""
        return _LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read the struct from its SIZE bytes."""
        return cls._make(_LAYOUT.unpack(data))


class QueriedVma(NamedTuple):
    """The answer to a query."""

    entry: MapsEntry
    """The VMA. Its name is empty if it was not asked for; newlines in it are not escaped."""
    page_size: int
    """The size in bytes of the pages that map the VMA."""
    build_id: bytes = b""
    """The build id, at most 20 bytes; empty if there is none or it was not asked for."""
    build_id_absent: str = ""
    """The reason why the reader of a real process gives no build id although it was asked for."""

    @classmethod
    def from_struct(cls, answer: ProcmapQuery, name: bytes, build_id: bytes) -> Self:
        """Make the answer from the struct that the ioctl wrote and its two buffers."""
        entry = MapsEntry(
            answer.vma_start,
            answer.vma_end,
            PERMISSIONS[answer.vma_flags & PERMISSION_BITS],
            answer.vma_offset,
            Device(answer.dev_major, answer.dev_minor),
            answer.inode,
            name[: max(answer.vma_name_size - 1, 0)],
        )
        return cls(entry, answer.vma_page_size, build_id[: answer.build_id_size])
