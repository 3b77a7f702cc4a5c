"""A file that has been found, and not been opened.

The descriptor only names it (O_PATH): that waits for nobody and breaks no lease. What the file is,
is asked of that descriptor, and a regular file is opened for reading by it, so that it is the
very same one. Reading leaves the access time alone where we may (O_NOATIME).

Source: open(2), openat2(2), proc_pid_fdinfo(5).
"""

import ctypes
import errno
import os
import re
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Self

from untorn.errors import OutOfReach, describe, os_error
from untorn.live.reader.mounts import Device

FIND = os.O_PATH | os.O_CLOEXEC
"""How a file is opened that is only to be named."""
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_SYS_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_IN_ROOT = 0x02, 0x04, 0x10
_NO_OPENAT2 = errno.ENOSYS, errno.EPERM
"""Of a kernel before 5.6, and of filters of system calls that do not know it."""
_MOUNT, _INODE = re.compile(rb"^mnt_id:\t(\d+)$", re.M), re.compile(rb"^ino:\t(\d+)$", re.M)
_KINDS = {
    stat.S_IFREG: "a regular file",
    stat.S_IFDIR: "a directory",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
}


class FoundFile:
    """A file by a descriptor that only names it.

    Attributes:
        fd: The descriptor; see close().
        path: Opens it from here.
    """

    def __init__(self, fd: int, path: bytes) -> None:
        self.fd, self.path = fd, path

    @classmethod
    def at(cls, path: bytes) -> Self:
        """Find a file by a path; links are followed. Raises OSError as open(2)."""
        return cls(os.open(path, FIND), path)

    @classmethod
    def under(cls, root: str, name: bytes) -> Self:
        """Find a file by an absolute name under a root, over no symbolic link.

        Raises:
            OSError: There is none, or it may not be looked for.
        """
        root_fd = os.open(root, FIND)
        try:
            fd = _openat2(root_fd, name.lstrip(b"/"))
        finally:
            os.close(root_fd)
        return cls(fd, os.fsencode(root).rstrip(b"/") + name)

    @property
    def status(self) -> os.stat_result:
        """What fstat(2) says."""
        return os.fstat(self.fd)

    @property
    def is_regular(self) -> bool:
        """Whether it may be read from."""
        return stat.S_ISREG(self.status.st_mode)

    @property
    def kind(self) -> str:
        """What it is, such as "a regular file"."""
        return _KINDS.get(stat.S_IFMT(self.status.st_mode), "a file of no known kind")

    def shown_as(self, device_of: Callable[[int], Device | None]) -> tuple[Device | None, int]:
        """Return device and inode as maps shows them for a mapping of this file.

        Args:
            device_of: Tells the device of a mount by its mnt_id.
        """
        info = Path(f"/proc/self/fdinfo/{self.fd}").read_bytes()
        mount, inode = _MOUNT.search(info), _INODE.search(info)
        device = device_of(int(mount[1])) if mount else None
        return device, int(inode[1]) if inode else self.status.st_ino  # since Linux 5.14

    @contextmanager
    def read(self) -> Iterator[BinaryIO]:
        """Give the file, opened for reading.

        Raises:
            OutOfReach: It is no regular file, or may not be read.
        """
        if not self.is_regular:
            raise OutOfReach(f"it is {self.kind}, and only a regular file is read from")
        with os.fdopen(self._open(), "rb") as file:
            yield file

    def _open(self) -> int:
        path = f"/proc/self/fd/{self.fd}"
        with suppress(PermissionError):  # somebody else's: its access time may change
            return os.open(path, _READ | os.O_NOATIME)
        try:
            return os.open(path, _READ)
        except OSError as error:
            raise OutOfReach(f"the file may not be read: {describe(error)}") from error

    def close(self) -> None:
        """Let go of it."""
        os.close(self.fd)


def _openat2(root_fd: int, path: bytes) -> int:
    resolve = _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_SYMLINKS | _RESOLVE_IN_ROOT
    how = struct.pack("=3Q", FIND, 0, resolve)
    fd: int = ctypes.CDLL(None, use_errno=True).syscall(
        ctypes.c_long(_SYS_OPENAT2), root_fd, path, how, ctypes.c_size_t(len(how))
    )
    if fd >= 0:
        return fd
    if ctypes.get_errno() not in _NO_OPENAT2:
        raise os_error(ctypes.get_errno())
    return os.open(path, FIND | os.O_NOFOLLOW, dir_fd=root_fd)
