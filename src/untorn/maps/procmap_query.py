"""struct procmap_query: the bytes that the PROCMAP_QUERY ioctl takes and returns.

The engine's ioctl and the reader of live processes both use it.
Source: include/uapi/linux/fs.h, struct procmap_query; proc_pid_maps(5).
"""

import struct
from enum import IntFlag
from typing import NamedTuple

PROCMAP_QUERY = 0xC0686611
"""The ioctl's number: _IOWR('f', 17, struct procmap_query)."""

_LAYOUT = struct.Struct("=9Q4I2Q")
SIZE = _LAYOUT.size
"""Bytes in the whole struct (104)."""
MIN_SIZE = 24
"""Bytes of the shortest struct the kernel takes: size, flags and address."""


class QueryFlags(IntFlag):
    """What to look for (in), and the permissions of what was found (out, the first four)."""

    VMA_READABLE = 0x01
    VMA_WRITABLE = 0x02
    VMA_EXECUTABLE = 0x04
    VMA_SHARED = 0x08
    COVERING_OR_NEXT_VMA = 0x10
    FILE_BACKED_VMA = 0x20


PERMISSIONS = 0x0F
VALID_FLAGS = 0x3F


class ProcmapQuery(NamedTuple):
    """One struct procmap_query. Addresses, offsets and sizes are in bytes."""

    size: int = SIZE
    query_flags: int = 0
    query_addr: int = 0
    vma_start: int = 0
    vma_end: int = 0
    vma_flags: int = 0
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
    def unpack(cls, data: bytes) -> "ProcmapQuery":
        """Read the struct from its SIZE bytes."""
        return cls._make(_LAYOUT.unpack(data))


class QueriedVma(NamedTuple):
    """What a query found."""

    start: int
    end: int
    flags: QueryFlags
    """VMA_READABLE, VMA_WRITABLE, VMA_EXECUTABLE and VMA_SHARED, as they are set."""
    page_size: int
    offset: int
    """Bytes into the file; 0 for a VMA without one."""
    dev_major: int
    dev_minor: int
    inode: int
    name: bytes
    """As the kernel gave it, newlines not escaped; empty when none or not asked for."""
    build_id: bytes
    """At most 20 bytes; empty when none or not asked for."""
    build_id_absent: str = ""
    """Why the reader of a real process tells none that it was asked for."""

    @classmethod
    def from_struct(cls, query: ProcmapQuery, name: bytes, build_id: bytes) -> "QueriedVma":
        """Take the answer from a filled struct and the two buffers that went with it."""
        return cls(
            query.vma_start,
            query.vma_end,
            QueryFlags(query.vma_flags),
            query.vma_page_size,
            query.vma_offset,
            query.dev_major,
            query.dev_minor,
            query.inode,
            name[: max(query.vma_name_size - 1, 0)],
            build_id[: query.build_id_size],
        )
