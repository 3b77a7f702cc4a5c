"""MapsFile: what an open maps file does, whoever's it is.

The engine's file, the running kernel's file and a guest's file all are one, so that race tests,
benchmark and reader are written once.
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
"""Bytes of a read() that leaves nothing over: more than any fill has."""
NO_PERMISSIONS = Permissions(0)
"""Of a query: any will do."""

_REFUSALS = {
    errno.ENOTTY: "this kernel has none",
    errno.EPERM: "refused by a filter of system calls (EPERM)",
    errno.EACCES: "refused by a filter of system calls (EACCES)",
    errno.ENOSYS: "refused by a filter of system calls (ENOSYS)",
    errno.EOPNOTSUPP: "refused by a filter of system calls (EOPNOTSUPP)",
}
"""What a query gets from a kernel without the ioctl, and from filters that forbid it. The ioctl
itself never answers with one of these. Source: fs/proc/task_mmu.c:do_procmap_query()."""


class MapsFile(ABC):
    """An open /proc/PID/maps, or another file about the VMAs of a process."""

    __slots__ = ()

    @abstractmethod
    def read(self, size: int) -> bytes:
        """Return the next bytes, at most size; b"" at the end or when the mm is gone.

        Raises:
            OSError: ESRCH if the process was reaped; EINTR if the caller is being killed.
        """

    @abstractmethod
    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a byte offset from the start (0) or from here (1); return where that is.

        Raises:
            OSError: EINVAL if the result is negative or whence is another one.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the file; once is enough, twice does no harm."""

    def procmap_query(self, question: ProcmapQuery) -> QueriedVma:
        """Answer a PROCMAP_QUERY. Buffers for name and build id are made as large as it says.

        Raises:
            OSError: ENOENT if no VMA matches; ESRCH if the process is gone; ENAMETOOLONG if a
                buffer is too small; EINVAL for an unknown flag; ENOTTY if there is no such ioctl,
                as for any file but maps; EINTR if the caller is being killed.
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
        """Describe the VMA at a byte address, by PROCMAP_QUERY.

        Args:
            addr: Byte address, not necessarily aligned.
            next: If none is there that matches, take the next one above that does.
            file_backed: It must map a file.
            permissions: It must have all of these.
            name: Tell its name.
            build_id: Tell the build id of its file.

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
        """Ask for the VMA at or above a byte address, then for the one at or above its end.

        Raises:
            OSError: As procmap_query(); but ENOENT is the end.
        """
        while True:
            try:
                found = self.query(addr, next=True)
            except FileNotFoundError:
                return
            yield found
            addr = found.entry.end

    def fills(self, size: int = FILL_SIZE) -> Iterator[bytes]:
        """Read the file from its start to its end, at most size bytes a call. Raises as read()."""
        self.seek(0)
        return iter(partial(self.read, size), b"")

    def find_query_refusal(self) -> str:
        """Return why this file answers no query, by asking it; "" if it does.

        Raises:
            OSError: As procmap_query(), but that nothing is mapped is an answer, too.
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
    """Return why there is no PROCMAP_QUERY, by what a query raised; "" if there is one."""
    return _REFUSALS.get(error.errno or 0, "")
