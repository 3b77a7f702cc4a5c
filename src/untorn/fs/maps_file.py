"""MapsFile: what an open maps file does, whoever's it is.

The engine's file, the running kernel's file and a guest's file all are one, so that race tests,
benchmark and parser are written once.
"""

from typing import Protocol

from untorn.fs.proc.procmap_query import QueriedVma, QueryFlags

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
