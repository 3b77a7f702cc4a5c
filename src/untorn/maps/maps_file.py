"""MapsFile: what an open maps file does, whoever's it is.

The engine's file, the running kernel's file and a guest's file all are one, so that race tests,
benchmark and parser are written once.
"""

import errno
from typing import Protocol

from untorn.maps.procmap_query import QueriedVma, QueryFlags

PATH_MAX = 4096
"""Bytes of the largest name the ioctl returns, with its final NUL. Source: limits.h."""
BUILD_ID_SIZE_MAX = 20
"""Bytes. Source: include/linux/buildid.h."""
NO_FLAGS = QueryFlags(0)


class MapsFile(Protocol):
    """An open /proc/PID/maps."""

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most size; b"" at the end or when the mm is gone.

        Raises:
            OSError: ESRCH if the process was reaped; EINTR if the caller is being killed.
        """

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a byte offset from the start (0) or from here (1); return where that is.

        Raises:
            OSError: EINVAL if the result is negative or whence is another one.
        """

    def query(
        self,
        addr: int,
        flags: QueryFlags = NO_FLAGS,
        *,
        name_size: int = PATH_MAX,
        build_id_size: int = 0,
    ) -> QueriedVma:
        """Describe the VMA at addr (PROCMAP_QUERY); flags widen or narrow the search.

        Args:
            addr: Byte address, not necessarily aligned.
            flags: COVERING_OR_NEXT_VMA, FILE_BACKED_VMA and the permissions it must have.
            name_size: Bytes to keep for the name with its NUL; 0 asks for no name.
            build_id_size: Bytes to keep for the build id; 0 asks for none.

        Raises:
            OSError: ENOENT if no VMA matches; ESRCH if the process is gone; ENAMETOOLONG
                if a buffer is too small; EINVAL for an unknown flag; ENOTTY if the kernel
                has no such ioctl; EINTR if the caller is being killed.
        """

    def close(self) -> None:
        """Release the file."""


_NO_QUERY = {
    errno.ENOTTY: "this kernel has none",
    errno.EPERM: "refused by a filter of system calls (EPERM)",
    errno.EACCES: "refused by a filter of system calls (EACCES)",
    errno.ENOSYS: "refused by a filter of system calls (ENOSYS)",
    errno.EOPNOTSUPP: "refused by a filter of system calls (EOPNOTSUPP)",
}
"""What a query gets from a kernel without the ioctl, and from filters that forbid it. The ioctl
itself never answers with one of these. Source: fs/proc/task_mmu.c:do_procmap_query()."""


def no_query(error: OSError) -> str:
    """Return why there is no PROCMAP_QUERY, by what a query raised; "" if there is one."""
    return _NO_QUERY.get(error.errno or 0, "")


def find_no_query(file: MapsFile) -> str:
    """Return why a file has no PROCMAP_QUERY, by asking it; "" if it has one.

    Raises:
        OSError: As MapsFile.query(), but that nothing is mapped is an answer, too.
    """
    try:
        file.query(0, QueryFlags.COVERING_OR_NEXT_VMA, name_size=0)
    except FileNotFoundError:
        return ""
    except OSError as error:
        reason = no_query(error)
        if not reason:
            raise
        return reason
    return ""
