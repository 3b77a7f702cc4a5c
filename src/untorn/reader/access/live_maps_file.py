"""The running kernel's maps file, as a MapsFile."""

import os
from array import array
from collections.abc import Callable, Iterable, Iterator
from fcntl import ioctl
from struct import Struct
from typing import Any

from untorn.errors import OutOfReachError
from untorn.maps.maps_file import MapsFile
from untorn.maps.procmap_query import PROCMAP_QUERY, ProcmapQuery, QueriedVma, QueryFlags
from untorn.reader.access.limit import check_time
from untorn.reader.access.task import place_of

_ADDR = Struct("=Q")
_QUERY_ADDR_AT, _VMA_START_AT = 16, 24
"""Offsets in struct procmap_query, in bytes."""


class LiveMapsFile(MapsFile):
    """An open /proc/PID/maps or /proc/PID/smaps of the running kernel, unbuffered.

    Each read() is one read(2), without a buffer: the kernel keeps the map still for one call at
    most, so a buffer would join text of different moments.

    Args:
        pid: The process, or a thread of it.
        file: Name of the file under its directory.
        proc: Where procfs is mounted.
        thread: The thread through which to reach the process, if the main one has ended.

    Raises:
        OSError: ENOENT if there is no such process, EACCES or EPERM if its map may not be read;
            ETIMEDOUT, from any method, if the look has no time left.

    Source: proc_pid_maps(5), PROCMAP_QUERY(2const).
    """

    def __init__(
        self, pid: int, file: str = "maps", proc: str = "/proc", thread: int | None = None
    ) -> None:
        self._path = f"{place_of(pid, proc, thread)}/{file}"
        self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self, size: int) -> bytes:
        """Return the bytes of one system call: see MapsFile."""
        text: bytes = self._timed(os.read, self._fd, size)
        return text

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a byte offset from the start (0) or from here (1): see MapsFile."""
        return os.lseek(self._fd, offset, whence)

    def procmap_query(self, question: ProcmapQuery) -> QueriedVma:
        """Ask the kernel: see MapsFile. ENOTTY on smaps and before Linux 6.11.

        We never ask it for a build id: to find one, the kernel reads from whatever is mapped,
        including sockets and devices. Source: lib/buildid.c.

        Raises:
            OutOfReachError: The question asks for a build id.
        """
        if question.build_id_size:
            raise OutOfReachError(
                "a build id: the kernel would read from what is mapped; LiveMaps reads the file"
            )
        name = array("B", bytes(question.vma_name_size))
        asked = question._replace(vma_name_addr=_address(name))
        packed = self._timed(ioctl, self._fd, PROCMAP_QUERY, asked.pack())
        return QueriedVma.from_struct(ProcmapQuery.unpack(packed), name.tobytes(), b"")

    def next_starts(self, addrs: Iterable[int]) -> Iterator[int]:
        """Yield where the VMA at each address, or the next one above, starts; one ioctl each.

        This is much faster than query(), which returns everything about a VMA.

        Yields:
            A byte address; 1 << 64 if there is none.

        Raises:
            OSError: As query().
        """
        question = bytearray(ProcmapQuery(query_flags=QueryFlags.COVERING_OR_NEXT_VMA).pack())
        for addr in addrs:
            _ADDR.pack_into(question, _QUERY_ADDR_AT, addr)
            try:
                self._timed(ioctl, self._fd, PROCMAP_QUERY, question)
            except FileNotFoundError:
                yield 1 << 64
            else:
                yield _ADDR.unpack_from(question, _VMA_START_AT)[0]

    def _timed(self, function: Callable[..., object], *arguments: object) -> Any:
        """Make a call, unless it is too late for one."""
        check_time(self._path)
        return self._call(function, *arguments)

    def _call(self, function: Callable[..., object], *arguments: object) -> Any:
        """Make the one system call during which the kernel may hold a lock of the process."""
        return function(*arguments)

    def close(self) -> None:
        """Release the file; once is enough, twice does no harm."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __repr__(self) -> str:
        return f"<LiveMapsFile fd {self._fd}>" if self._fd >= 0 else "<LiveMapsFile closed>"


def _address(buffer: "array[int]") -> int:
    # The ioctl refuses an address without a size, and a size without an address.
    return buffer.buffer_info()[0] if buffer else 0
