"""MapsFile: the interface of an open maps file, of the engine, the running kernel or a guest.

Race tests, benchmark and reader are written once, for this interface.
"""

import errno
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import partial
from typing import Self

from untorn.errors import os_error
from untorn.maps.fields import Permissions
from untorn.maps.page import ULONG_MAX
from untorn.maps.procmap_query import (
    BUILD_ID_SIZE_MAX,
    PATH_MAX,
    ProcmapQuery,
    QueriedVma,
    QueryFlags,
)

FILL_SIZE = 1 << 16
"""A size in bytes for read() that is larger than any fill, so that nothing is left over."""
NO_PERMISSIONS = Permissions(0)
"""In a query: any permissions match."""

_REFUSALS = {
    errno.ENOTTY: "this kernel has none",
    errno.EPERM: "refused by a filter of system calls (EPERM)",
    errno.EACCES: "refused by a filter of system calls (EACCES)",
    errno.ENOSYS: "refused by a filter of system calls (ENOSYS)",
    errno.EOPNOTSUPP: "refused by a filter of system calls (EOPNOTSUPP)",
}
"""The reason for each errno that a query gets from a kernel without the ioctl, or from a filter
that forbids it. The ioctl itself never returns one of these.

Source: fs/proc/task_mmu.c:do_procmap_query().
"""


class MapsFile(ABC):
    """An open /proc/PID/maps, or another file about the VMAs of a process."""

    __slots__ = ()

    @abstractmethod
    def read(self, size: int) -> bytes:
        """Return the next bytes, at most size; b"" at the end or if the mm is gone.

        Raises:
            OSError: ESRCH if the process was reaped; EINTR if the caller is being killed.
        """

    @abstractmethod
    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a byte offset from the start (whence 0) or from here (1). Return the position.

        Raises:
            OSError: EINVAL if the result is negative or whence is neither 0 nor 1.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the file. A second call does nothing."""

    def procmap_query(self, question: ProcmapQuery) -> QueriedVma:
        """Answer a PROCMAP_QUERY. Allocate the buffers for name and build id that it asks for.

        Raises:
            OSError: ENOENT if no VMA matches; ESRCH if the process is gone; ENAMETOOLONG if a
                buffer is too small; EINVAL for an unknown flag; ENOTTY if the file does not have
                the ioctl, as any file but maps; EINTR if the caller is being killed.
        """
        raise os_error(errno.ENOTTY)

    def query(
        self,
        addr: int,
        *,
        next: bool = False,  # noqa: A002 (the kernel's word, and only a keyword)
        file_backed: bool = False,
        permissions: Permissions = NO_PERMISSIONS,
        name: bool = True,
        build_id: bool = False,
    ) -> QueriedVma:
        """Return the VMA at a byte address, by PROCMAP_QUERY.

        Args:
            addr: Byte address, not necessarily aligned.
            next: If no VMA there matches, return the next one above that does.
            file_backed: The VMA must map a file.
            permissions: The VMA must have all of these.
            name: Ask for its name.
            build_id: Ask for the build id of its file.

        Raises:
            OSError: As procmap_query().
        """
        flags = QueryFlags.COVERING_OR_NEXT_VMA * next | QueryFlags.FILE_BACKED_VMA * file_backed
        return self.procmap_query(
            ProcmapQuery(
                query_flags=flags | permissions,
                query_addr=addr & ULONG_MAX,
                vma_name_size=PATH_MAX * name,
                build_id_size=BUILD_ID_SIZE_MAX * build_id,
            )
        )

    def walk(self, addr: int = 0) -> Iterator[QueriedVma]:
        """Yield the VMA at or above a byte address, then the one at or above its end, and so on.

        Raises:
            OSError: As procmap_query(), except ENOENT, which ends the walk.
        """
        while True:
            try:
                found = self.query(addr, next=True)
            except FileNotFoundError:
                return
            yield found
            addr = found.entry.end

    def fills(self, size: int = FILL_SIZE) -> Iterator[bytes]:
        """Read the file from start to end, at most size bytes per read(). Raise as read()."""
        self.seek(0)
        return iter(partial(self.read, size), b"")

    def find_query_refusal(self) -> str:
        """Make a query and return why the file answers none; "" if it does.

        Raises:
            OSError: As procmap_query(), except ENOENT, which is an answer.
        """
        try:
            self.query(0, next=True, name=False)
        except FileNotFoundError:
            return ""
        except OSError as error:
            reason = query_refusal(error)
            if not reason:
                raise
            return reason
        return ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def query_refusal(error: OSError) -> str:
    """Return why a query that raised error cannot work at all; "" if it can."""
    return _REFUSALS.get(error.errno or 0, "")
