"""The procfs that is behind what is served, and the processes in it, none taken for another.

What a caller may open, read and list there is asked of the kernel, with the caller's rights.
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
"""Of the options of a mount: some see not all. Source: fs/proc/root.c:proc_fs_parameters."""
_PERIOD = 1.0
"""Seconds for which it is taken to have the options that it had."""


class RealProc:
    """A mounted procfs.

    Args:
        path: Where it is mounted.
        clock: Tells seconds, by which its options are asked for again.

    Raises:
        OSError: ENOENT or ENOTDIR if there is none.

    Attributes:
        path: Where it is mounted.
        directory: Its root, a descriptor.
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
        """Whether some processes are hidden from some users, as of a second ago at most."""
        with self._lock:
            now = self._clock()
            if now - self._asked >= _PERIOD:
                self._hides, self._asked = self._ask(), now
            return self._hides

    def _ask(self) -> bool:
        """Return whether its options hide processes: whoever may mount may change them."""
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

        Where processes are hidden, for a caller that may look for something in it: whoever has got
        there is not asked again.

        Raises:
            OSError: As the kernel: ENOENT if there is none, ENOENT or EPERM if it is hidden.
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
    """A process, as one directory of procfs: its number may be another's later, this is not.

    Its descriptor is kept for as long as anybody has this object, or until the process was found to
    be gone. What uses it after that gets ESRCH, as from a process that is gone.

    Args:
        pid: Its number.
        directory: Its directory, a descriptor, which is this object's from now on; what is opened
            by it fails once the process is gone.
        proc: The procfs that it is in.

    Attributes:
        pid: Its number.
    """

    def __init__(self, pid: int, directory: int, proc: RealProc) -> None:
        self.pid = pid
        self._proc, self._directory = proc, Descriptor(directory)
        self._ino = os.fstat(directory).st_ino

    def is_at(self, found: os.stat_result) -> bool:
        """Tell whether it is what a name was found to mean.

        Its number and its inode tell, for as long as we keep that: not after it was closed.
        """
        return found.st_ino == self._ino and not self._directory.closed

    def check(self, path: str = ".") -> None:
        """Raise OSError ESRCH if it is gone, or what has a directory at a path in its own."""
        try:
            self.stat(f"{path}/stat")
        except FileNotFoundError:
            raise os_error(errno.ESRCH) from None

    def close_if_gone(self) -> bool:
        """Let go of its directory if it is gone, and tell whether it is."""
        try:
            self.check()
        except ProcessLookupError:
            self._directory.close()
            return True
        return False

    def stat(self, path: str) -> os.stat_result:
        """Return what is at a path in its directory. Raises OSError as the kernel does; ESRCH."""
        with self._directory as directory:
            return os.lstat(path, dir_fd=directory)

    def names(self, path: str, caller: Caller) -> list[str]:
        """Return what is in one of its directories. Raises OSError as the kernel does; ESRCH."""
        with self._judged(caller) if self._proc.hides else self._directory as directory:
            return names_in(path, directory)

    def open(self, path: str, caller: Caller) -> int:
        """Return a descriptor of one of its files, as the kernel gives it to a caller.

        Raises:
            OSError: As the kernel: EACCES, EPERM, ESRCH.
        """
        with self._judged(caller) as directory:
            return os.open(path, _READ, dir_fd=directory)

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
            with self._directory as directory, deputy.acting_with(opener):
                os.close(os.open(path, _READ, dir_fd=directory))

    def read(self, file: int, size: int, offset: int, caller: Caller) -> bytes:
        """Return what the kernel lets a caller read. Raises OSError as the kernel does; ESRCH."""
        with self._judged(caller):
            return os.pread(file, size, offset)

    def readlink(self, path: str, caller: Caller) -> bytes:
        """Return what the kernel tells a caller of a link. Raises OSError as the kernel does."""
        with self._judged(caller) as directory:
            return os.fsencode(os.readlink(path, dir_fd=directory))

    def wants(self, caller: Caller, name: bytes) -> Wants:
        """Return what a caller wants of a name in one of its directories."""
        return self._proc.wants(caller, name)

    @contextmanager
    def _judged(self, caller: Caller) -> Iterator[int]:
        """Give the directory, and this thread a caller's rights, until the block ends."""
        with self._directory as directory:
            subject = Subject(self.pid, directory)
            with self._proc.deputy.acting_as(caller, subject):
                yield directory


class RealThread:
    """A thread of a process, by which its memory is reached where the main one has ended.

    Args:
        process: The process.
        pid: Its number.
        path: Of its directory in that of the process.

    Attributes:
        pid: Its number.
    """

    __slots__ = ("_path", "_process", "pid")

    def __init__(self, process: RealProcess, pid: int, path: str) -> None:
        self._process, self.pid, self._path = process, pid, path

    def check(self) -> None:
        """Raise OSError ESRCH if it is gone."""
        self._process.check(self._path)


def names_in(path: str, directory: int) -> list[str]:
    """Return what is in a directory, given from another one. Raises OSError as open(2)."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        return os.listdir(fd)  # noqa: PTH208 (names of a descriptor)
    finally:
        os.close(fd)
