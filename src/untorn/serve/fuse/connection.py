"""The kernel's side of a mount besides its tree: waiting requests, and a way to abort them all.

Source: Documentation/filesystems/fuse/fuse.rst, fs/fuse/control.c.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from untorn.serve.fuse.mount_calls import open_unmounted

_CONTROL = "/sys/fs/fuse/connections"


class Connection:
    """The connection between the kernel and the server of a mount.

    Args:
        minor: Minor number of the mount's device.

    Raises:
        OSError: EACCES, EPERM or ENOENT if we may not see it.
    """

    def __init__(self, minor: int) -> None:
        control = _open_control()
        try:
            self._directory = os.open(str(minor), os.O_PATH | os.O_CLOEXEC, dir_fd=control)
        finally:
            os.close(control)

    def waiting(self) -> int:
        """Return how many requests wait for an answer; 0 once it is unmounted."""
        with suppress(FileNotFoundError), self._opened("waiting", os.O_RDONLY) as fd:
            return int(os.read(fd, 16) or 0)
        return 0

    def abort(self) -> None:
        """Abort it: waiting requests get ECONNABORTED, later ones ENOTCONN."""
        with suppress(FileNotFoundError), self._opened("abort", os.O_WRONLY) as fd:
            os.write(fd, b"1")

    @contextmanager
    def _opened(self, name: str, flags: int) -> Iterator[int]:
        fd = os.open(name, flags | os.O_CLOEXEC, dir_fd=self._directory)
        try:
            yield fd
        finally:
            os.close(fd)


def _open_control() -> int:
    """Open the directory of all connections, even if it is not mounted."""
    try:
        return open_unmounted("fusectl")
    except OSError:
        return os.open(_CONTROL, os.O_PATH | os.O_CLOEXEC)
