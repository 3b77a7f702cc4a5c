"""What the kernel knows of a mount beside its tree: requests that wait, and a way to end them all.

Source: Documentation/filesystems/fuse/fuse.rst, fs/fuse/control.c.
"""

import os

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
            self._waiting = os.open(f"{minor}/waiting", os.O_RDONLY, dir_fd=control)
            self._abort = os.open(f"{minor}/abort", os.O_WRONLY, dir_fd=control)
        finally:
            os.close(control)

    def waiting(self) -> int:
        """Return how many requests have no answer yet; 0 if it is unmounted."""
        return int(os.pread(self._waiting, 16, 0) or 0)

    def abort(self) -> None:
        """End it: all that wait get ECONNABORTED, those that come ENOTCONN."""
        os.write(self._abort, b"1")


def _open_control() -> int:
    """Open the directory of all connections, also where it is not mounted."""
    try:
        return open_unmounted("fusectl")
    except OSError:
        return os.open(_CONTROL, os.O_PATH | os.O_CLOEXEC)
