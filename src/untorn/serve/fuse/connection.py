"""What the kernel knows of a mount beside its tree: requests that wait, and a way to end them all.

Source: Documentation/filesystems/fuse/fuse.rst, fs/fuse/control.c.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from untorn.serve.fuse.mount_calls import open_unmounted

_CONTROL = "/sys/fs/fuse/connections"


class Connection:
    """The connection between the kernel and who serves a mount.

    Args:
        minor: Number of the device that is mounted.

    Raises:
        OSError: EACCES, EPERM or ENOENT if we are not allowed to see it.
    """

    def __init__(self, minor: int) -> None:
        control = _open_control()
        try:
            self._directory = os.open(str(minor), os.O_PATH | os.O_CLOEXEC, dir_fd=control)
        finally:
            os.close(control)

    def waiting(self) -> int:
        """Return how many requests have no answer yet; 0 if it is unmounted."""
        with suppress(FileNotFoundError), self._opened("waiting", os.O_RDONLY) as fd:
            return int(os.read(fd, 16) or 0)
        return 0

    def abort(self) -> None:
        """End it: all that wait get ECONNABORTED, those that come ENOTCONN."""
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
    """Open the directory of all connections, also where it is not mounted."""
    try:
        return open_unmounted("fusectl")
    except OSError:
        return os.open(_CONTROL, os.O_PATH | os.O_CLOEXEC)
