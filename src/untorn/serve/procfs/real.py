"""The procfs under the served one, and its processes, none of them mistaken for another.

The kernel decides, by the caller's rights, what a caller may open, read and list there.
"""

import errno
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from untorn.errors import os_error
from untorn.serve.caller.callers import Subject
from untorn.serve.caller.deputy import Deputy
from untorn.serve.caller.thread_credentials import Credentials
from untorn.serve.caller.wants import Wants, wants
from untorn.serve.fuse.node import Caller
from untorn.serve.procfs.descriptor import Descriptor

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_CLOEXEC
_HIDES = re.compile(rb"\bhidepid=(?!0|off)")
"""Options with which some users do not see all. Source: fs/proc/root.c:proc_fs_parameters."""
_PERIOD = 1.0
"""Seconds for which its options are taken to be unchanged."""


class RealProc:
    """A mounted procfs.

    Args:
        path: Where it is mounted.
        clock: Returns the time in seconds, to decide when to read its options again.

    Raises:
        OSError: ENOENT or ENOTDIR if there is none.

    Attributes:
        path: Where it is mounted.
        directory: Descriptor of its root.
        deputy: Acts as callers.
    """

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self.directory = os.open(path, _DIRECTORY)
        self.deputy = Deputy(self.directory)
        self._clock = clock
        self._lock = threading.Lock()
        self._hides, self._asked = self._ask(), clock()  # protected by _lock

    @property
    def hides(self) -> bool:
        """Whether some processes are hidden from some users, as of at most a second ago."""
        with self._lock:
            now = self._clock()
            if now - self._asked >= _PERIOD:
                self._hides, self._asked = self._ask(), now
            return self._hides

    def _ask(self) -> bool:
        """Return whether its options hide processes; a privileged user may change them any time."""
        device = os.fstat(self.directory).st_dev
        number = b" %d:%d / " % (os.major(device), os.minor(device))
        for mount in self.read("self/mountinfo").splitlines():
            if number in mount:
                return bool(_HIDES.search(mount.partition(b" - proc ")[2]))
        return True  # unknown: it is mounted where we do not see it

    def read(self, path: str) -> bytes:
        """Return the contents of one of its files."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.directory)
        with os.fdopen(fd, "rb") as file:
            return file.read()

    def names(self, caller: Caller) -> list[str]:
        """Return its names for a caller. Raises OSError as the kernel does."""
        with self.deputy.acting_as(caller) if self.hides else nullcontext():
            return names_in(".", self.directory)

    def find(self, pid: int, caller: Caller) -> os.stat_result:
        """Return the stat result of a process's directory for a caller.

        If processes are hidden, this checks whether the caller may look up something in it: a
        caller that has got there is not checked again.

        Raises:
            OSError: As the kernel: ENOENT if there is none; ENOENT or EPERM if it is hidden.
        """
        if not self.hides:
            return os.stat(str(pid), dir_fd=self.directory)
        directory = os.open(str(pid), _DIRECTORY, dir_fd=self.directory)
        try:
            with self.deputy.acting_as(caller, Subject(pid, directory)):
                return os.stat(f"{pid}/.", dir_fd=self.directory)
        finally:
            os.close(directory)

    def wants(self, caller: Caller, name: bytes) -> Wants:
        """Return what a caller wants of a name."""
        return wants(self.directory, caller, name)

    def open(self, pid: int) -> "RealProcess":
        """Return a process. Raises OSError ENOENT if there is none."""
        return RealProcess(pid, os.open(str(pid), _DIRECTORY, dir_fd=self.directory), self)


class RealProcess:
    """A process, as one directory of procfs: its PID may be reused later, this object is not.

    Its descriptor is kept as long as anybody has this object, or until the process was found to be
    gone. Later uses get ESRCH, as from a process that is gone.

    Args:
        pid: Its PID.
        directory: Descriptor of its directory, which this object takes over; opening files through
            it fails once the process is gone.
        proc: The procfs that it is in.

    Attributes:
        pid: Its PID.
    """

    def __init__(self, pid: int, directory: int, proc: RealProc) -> None:
        self.pid = pid
        self._proc, self._directory = proc, Descriptor(directory)
        self._ino = os.fstat(directory).st_ino

    def is_at(self, found: os.stat_result) -> bool:
        """Return whether a stat result is of this process's directory.

        Its number and inode decide, as long as we keep it open; not after that.
        """
        return found.st_ino == self._ino and not self._directory.closed

    def check(self, path: str = ".") -> None:
        """Raise OSError ESRCH if it, or the thread whose directory is at that path, is gone."""
        try:
            self.stat(f"{path}/stat")
        except FileNotFoundError:
            raise os_error(errno.ESRCH) from None

    def close_if_gone(self) -> bool:
        """Close its directory if it is gone; return whether it is."""
        try:
            self.check()
        except ProcessLookupError:
            self._directory.close()
            return True
        return False

    def stat(self, path: str) -> os.stat_result:
        """Return the stat result of a path in it. Raises OSError as the kernel does; ESRCH."""
        with self._directory as directory:
            return os.lstat(path, dir_fd=directory)

    def names(self, path: str, caller: Caller) -> list[str]:
        """Return the names in one of its directories. Raises OSError as the kernel does; ESRCH."""
        with self._judged(caller) if self._proc.hides else self._directory as directory:
            return names_in(path, directory)

    def open(self, path: str, caller: Caller) -> int:
        """Return a descriptor of one of its files, opened with the caller's rights.

        Raises:
            OSError: As the kernel: EACCES, EPERM, ESRCH.
        """
        with self._judged(caller) as directory:
            return os.open(path, _READ, dir_fd=directory)

    def credentials_of(self, caller: Caller) -> Credentials:
        """Return the credentials of a caller that may be gone later."""
        return self._proc.deputy.credentials_of(caller)

    def check_open(self, path: str, reader: Caller, opener: Credentials) -> None:
        """Open and close one of its files, to judge a reader of what another caller has opened.

        Raises:
            OSError: As open(), if neither of them may.
        """
        deputy = self._proc.deputy
        if deputy.has_our_rights(reader):
            return
        try:
            os.close(self.open(path, reader))
        except PermissionError:
            with self._directory as directory, deputy.acting_with(opener):
                os.close(os.open(path, _READ, dir_fd=directory))

    def read(self, file: int, size: int, offset: int, caller: Caller) -> bytes:
        """Return what the kernel lets a caller read. Raises OSError as the kernel does; ESRCH."""
        with self._judged(caller):
            return os.pread(file, size, offset)

    def readlink(self, path: str, caller: Caller) -> bytes:
        """Return the text of a link for a caller. Raises OSError as the kernel does."""
        with self._judged(caller) as directory:
            return os.fsencode(os.readlink(path, dir_fd=directory))

    def wants(self, caller: Caller, name: bytes) -> Wants:
        """Return what a caller wants of a name in one of its directories."""
        return self._proc.wants(caller, name)

    @contextmanager
    def _judged(self, caller: Caller) -> Iterator[int]:
        """Yield the directory, and give this thread a caller's rights until the block ends."""
        with self._directory as directory:
            subject = Subject(self.pid, directory)
            with self._proc.deputy.acting_as(caller, subject):
                yield directory


class RealThread:
    """A thread of a process, through which to reach its memory if the main thread has ended.

    Args:
        process: The process.
        pid: Its TID.
        path: Path of its directory in that of the process.

    Attributes:
        pid: Its TID.
    """

    __slots__ = ("_path", "_process", "pid")

    def __init__(self, process: RealProcess, pid: int, path: str) -> None:
        self._process, self.pid, self._path = process, pid, path

    def check(self) -> None:
        """Raise OSError ESRCH if it is gone."""
        self._process.check(self._path)


def names_in(path: str, directory: int) -> list[str]:
    """Return the names in a directory, given relative to another one. Raises OSError as open(2)."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        return os.listdir(fd)  # noqa: PTH208 (names of a descriptor)
    finally:
        os.close(fd)
