"""The procfs that is behind what is served, and the processes in it, none taken for another.

What a caller may open, read and list there is asked of the kernel, with the caller's rights.
"""

import errno
import os
import re
import threading
from contextlib import AbstractContextManager, nullcontext, suppress

from untorn.errors import os_error
from untorn.serve.caller.callers import Subject
from untorn.serve.caller.deputy import Deputy
from untorn.serve.caller.thread_credentials import Credentials
from untorn.serve.caller.wants import Wants, wants
from untorn.serve.fuse.node import Caller

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_HIDES = re.compile(rb"\bhidepid=(?!0|off)")
"""Of the options of a mount: some see not all. Source: fs/proc/root.c:proc_fs_parameters."""


class RealProc:
    """A mounted procfs.

    Args:
        path: Where it is mounted.

    Raises:
        OSError: ENOENT or ENOTDIR if there is none.

    Attributes:
        path: Where it is mounted.
        directory: Its root, a descriptor.
        deputy: Acts as callers.
        hides: Whether some processes are hidden from some users.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.directory = os.open(path, _DIRECTORY)
        self.deputy = Deputy(self.directory)
        self.hides = self._hides()

    def _hides(self) -> bool:
        device = os.fstat(self.directory).st_dev
        number = b" %d:%d / " % (os.major(device), os.minor(device))
        for mount in self.read("self/mountinfo").splitlines():
            if number in mount:
                return bool(_HIDES.search(mount.partition(b" - proc ")[2]))
        return True  # who knows: it is mounted where we do not see it

    def read(self, path: str) -> bytes:
        """Return what one of its files says."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.directory)
        with os.fdopen(fd, "rb") as file:
            return file.read()

    def names(self, caller: Caller) -> list[str]:
        """Return what is in it for a caller. Raises OSError as the kernel does."""
        with self.deputy.acting_as(caller) if self.hides else nullcontext():
            return names_in(".", self.directory)

    def find(self, pid: int, caller: Caller) -> os.stat_result:
        """Return what the directory of a process is for a caller.

        Raises:
            OSError: As the kernel: ENOENT if there is none, or it is hidden.
        """
        if not self.hides:
            return os.stat(str(pid), dir_fd=self.directory)
        directory = os.open(str(pid), _DIRECTORY, dir_fd=self.directory)
        try:
            with self.deputy.acting_as(caller, Subject(pid, directory)):
                return os.stat(str(pid), dir_fd=self.directory)
        finally:
            os.close(directory)

    def wants(self, caller: Caller, name: bytes) -> Wants:
        """Return what a caller wants of a name."""
        return wants(self.directory, caller, name)

    def open(self, pid: int) -> "RealProcess":
        """Return a process. Raises OSError ENOENT if there is none."""
        return RealProcess(pid, os.open(str(pid), _DIRECTORY, dir_fd=self.directory), self)


class RealProcess:
    """A process, as one directory of procfs: its number may be another's later, this is not.

    Its descriptor is closed when the kernel forgets the node, which nobody asks for any more; only
    a look at it may go on, for a caller that was killed.

    Attributes:
        pid: Its number.
        directory: Its directory, a descriptor; what is opened by it fails once the process is gone.
    """

    def __init__(self, pid: int, directory: int, proc: RealProc) -> None:
        self.pid, self.directory = pid, directory
        self._proc, self._subject = proc, Subject(pid, directory)
        self._ino = os.fstat(directory).st_ino
        self._lock = threading.Lock()
        self._closed = False  # protected by _lock

    def is_at(self, found: os.stat_result) -> bool:
        """Tell whether it is what a name was found to mean: we keep its inode and its number."""
        return found.st_ino == self._ino

    def check(self) -> None:
        """Raise OSError ESRCH if it is gone, or nobody asks for it any more."""
        with self._lock:
            if not self._closed:
                with suppress(FileNotFoundError, ProcessLookupError):
                    os.stat("stat", dir_fd=self.directory)
                    return
        raise os_error(errno.ESRCH)

    def close(self) -> None:
        """Let go of it."""
        with self._lock:
            self._closed = True
            os.close(self.directory)

    def stat(self, path: str) -> os.stat_result:
        """Return what is at a path in its directory. Raises OSError as the kernel does."""
        return os.lstat(path, dir_fd=self.directory)

    def names(self, path: str, caller: Caller) -> list[str]:
        """Return what is in one of its directories. Raises OSError as the kernel does."""
        with self._judged(caller) if self._proc.hides else nullcontext():
            return names_in(path, self.directory)

    def open(self, path: str, caller: Caller) -> int:
        """Return a descriptor of one of its files, as the kernel gives it to a caller.

        Raises:
            OSError: As the kernel: EACCES, EPERM, ESRCH.
        """
        with self._judged(caller):
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.directory)

    def credentials_of(self, caller: Caller) -> Credentials:
        """Return by what a caller is judged who is not there any more."""
        return self._proc.deputy.credentials_of(caller)

    def check_open(self, path: str, reader: Caller, opener: Credentials) -> None:
        """Open one of its files, and close it, for a reader of what somebody has opened.

        Raises:
            OSError: As open(), if neither of them may.
        """
        deputy = self._proc.deputy
        if deputy.has_our_rights(reader):
            return
        try:
            os.close(self.open(path, reader))
        except PermissionError:
            with deputy.acting_with(opener):
                os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.directory))

    def read(self, file: int, size: int, offset: int, caller: Caller) -> bytes:
        """Return what the kernel lets a caller read. Raises OSError as the kernel does."""
        with self._judged(caller):
            return os.pread(file, size, offset)

    def readlink(self, path: str, caller: Caller) -> bytes:
        """Return what the kernel tells a caller of a link. Raises OSError as the kernel does."""
        with self._judged(caller):
            return os.fsencode(os.readlink(path, dir_fd=self.directory))

    def wants(self, caller: Caller, name: bytes) -> Wants:
        """Return what a caller wants of a name in one of its directories."""
        return self._proc.wants(caller, name)

    def _judged(self, caller: Caller) -> AbstractContextManager[None]:
        return self._proc.deputy.acting_as(caller, self._subject)


def names_in(path: str, directory: int) -> list[str]:
    """Return what is in a directory, given from another one. Raises OSError as open(2)."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        return os.listdir(fd)  # noqa: PTH208 (names of a descriptor)
    finally:
        os.close(fd)
