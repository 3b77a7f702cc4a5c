"""A file that was found but not opened.

The descriptor only names the file (O_PATH): to open it in this way never waits. Through it we ask
what the file is, and if it is a regular file, open it for reading: so we read the file that was
checked. Reading leaves the access time unchanged if we may (O_NOATIME), and is not done if it would
break a lease. A watcher of the file (inotify, fanotify) sees that it is opened and read.

Source: open(2), openat2(2), fcntl(2), proc_pid_fdinfo(5), proc_locks(5).
"""

import ctypes
import errno
import os
import re
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Self

from untorn.errors import OutOfReachError, os_error
from untorn.maps.fields import Device
from untorn.maps.procmap_query import PATH_MAX

FIND = os.O_PATH | os.O_CLOEXEC
"""Flags to open a file only to name it."""
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_SYS_OPENAT2 = 437
_RESOLVE_NO_XDEV, _RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_IN_ROOT = 1, 2, 4, 16
_LINKS_REFUSED, _LINKS_WITHIN = (
    _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS | _RESOLVE_IN_ROOT,
    _RESOLVE_NO_XDEV | _RESOLVE_NO_MAGICLINKS | _RESOLVE_IN_ROOT,
)
_NO_OPENAT2 = errno.ENOSYS, errno.EPERM
"""From a kernel before 5.6, or a seccomp filter that does not know the call."""
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
    """A file, by a descriptor that only names it.

    Attributes:
        fd: The descriptor; see close().
        path: A path that opens it from here.
    """

    def __init__(self, fd: int, path: bytes) -> None:
        self.fd, self.path = fd, path

    @classmethod
    def at(cls, path: bytes) -> Self:
        """Find a file by its path; links are followed. Raises OSError as open(2)."""
        return cls(os.open(path, FIND), path)

    @classmethod
    def under(cls, root: str, name: bytes) -> Self:
        """Find a file by an absolute name under a root. A link with that name is itself the file.

        Links to directories are followed as long as they stay on one file system.

        Raises:
            OSError: There is none, or we may not look for it.
        """
        fd = os.open(root, FIND)
        for part in _parts_of(name):
            try:
                following = _openat2(fd, part)
            finally:
                os.close(fd)
            fd = following
        return cls(fd, os.fsencode(root).rstrip(b"/") + name)

    @property
    def status(self) -> os.stat_result:
        """The result of fstat(2)."""
        return os.fstat(self.fd)

    @property
    def is_regular(self) -> bool:
        """Whether it may be read."""
        return stat.S_ISREG(self.status.st_mode)

    @property
    def kind(self) -> str:
        """What it is, such as "a regular file"."""
        return _KINDS.get(stat.S_IFMT(self.status.st_mode), "a file of no known kind")

    def shown_as(self, device_of: Callable[[int], Device | None]) -> tuple[Device | None, int]:
        """Return device and inode as maps shows them for a mapping of this file.

        Args:
            device_of: Returns the device of a mount by its mnt_id.
        """
        info = Path(f"/proc/self/fdinfo/{self.fd}").read_bytes()
        mount, inode = _MOUNT.search(info), _INODE.search(info)
        device = device_of(int(mount[1])) if mount else None
        return device, int(inode[1]) if inode else self.status.st_ino  # since Linux 5.14

    @contextmanager
    def read(self) -> Iterator[BinaryIO]:
        """Yield the file, opened for reading.

        Raises:
            OutOfReachError: It is not a regular file, or may not be read.
        """
        status = self.status
        if not stat.S_ISREG(status.st_mode):
            raise OutOfReachError(f"it is {self.kind}, and we read only regular files")
        if _may_be_leased(status.st_ino):
            raise OutOfReachError("somebody has a lease on it, which reading would break")
        try:
            fd = self._open()
        except OSError as error:
            raise OutOfReachError(f"the file may not be read: {error.strerror}") from error
        with os.fdopen(fd, "rb") as file:
            yield file

    def _open(self) -> int:
        path = f"/proc/self/fd/{self.fd}"
        try:
            return os.open(path, _READ | os.O_NOATIME)
        except PermissionError:  # somebody else's file: its access time may change
            return os.open(path, _READ)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)


def _parts_of(name: bytes) -> Iterator[bytes]:
    """Cut a name at slashes into parts that are short enough for a system call."""
    name = name.lstrip(b"/")
    while len(name) >= PATH_MAX:
        part, _, _ = name[:PATH_MAX].rpartition(b"/")
        yield part
        name = name[len(part) :].lstrip(b"/")
    yield name


def _openat2(root_fd: int, path: bytes) -> int:
    try:
        return _openat2_resolving(root_fd, path, _LINKS_REFUSED)
    except OSError as error:
        if error.errno in _NO_OPENAT2:
            return os.open(path, FIND | os.O_NOFOLLOW, dir_fd=root_fd)
        if error.errno != errno.ELOOP:
            raise
    return _openat2_resolving(root_fd, path, _LINKS_WITHIN)


def _openat2_resolving(root_fd: int, path: bytes, resolve: int) -> int:
    how = struct.pack("=3Q", FIND | os.O_NOFOLLOW, 0, resolve)
    fd: int = ctypes.CDLL(None, use_errno=True).syscall(
        ctypes.c_long(_SYS_OPENAT2), root_fd, path, how, ctypes.c_size_t(len(how))
    )
    if fd < 0:
        raise os_error(ctypes.get_errno())
    return fd


def _may_be_leased(inode: int) -> bool:
    """Return whether a process holds a lease on a file with this inode, on any file system.

    Opening the file for reading breaks a write lease, and its holder gets a signal.
    """
    locks = Path("/proc/locks").read_bytes()
    return re.search(rb" LEASE .*:%d " % inode, locks) is not None
