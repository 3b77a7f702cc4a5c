"""What the kernel knows of a mount beside its tree: requests that wait, and a way to end them all.

Source: Documentation/filesystems/fuse/fuse.rst, fs/fuse/control.c.
"""

import os
from contextlib import suppress

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
        with suppress(FileNotFoundError), open("waiting", opener=self._open) as file:
            return int(file.read())
        return 0

    def abort(self) -> None:
        """End it: all that wait get ECONNABORTED, those that come ENOTCONN."""
        with suppress(FileNotFoundError), open("abort", "w", opener=self._open) as file:
            file.write("1")

    def _open(self, name: str, flags: int) -> int:
        return os.open(name, flags | os.O_CLOEXEC, dir_fd=self._directory)


def _open_control() -> int:
    """Open the directory of all connections, also where it is not mounted."""
    try:
        return open_unmounted("fusectl")
    except OSError:
        return os.open(_CONTROL, os.O_PATH | os.O_CLOEXEC)
