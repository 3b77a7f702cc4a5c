"""Files that are passed through, because some programs open them only if they are not links.

None of them can be written. A reader is judged as the kernel would, or sees what the kernel would
show it: io and stat are judged, or masked, at each read.
Source: fs/proc/base.c:do_io_accounting(), fs/proc/array.c:do_task_stat().
"""

import os

from untorn.serve.fuse.node import Attributes, Caller, File, OpenFile, only_read
from untorn.serve.procfs.real import RealProc, RealProcess

_JUDGED_AT_READ = ("io", "stat")
A_DAY = 86400.0
"""Seconds to remember a name below the directory of a process: it never means another file."""


class SystemFile(File):
    """A file of the root."""

    __slots__ = ("_name", "_proc")

    def __init__(self, proc: RealProc, name: str) -> None:
        self._proc, self._name = proc, name

    def attributes(self) -> Attributes:
        """Return the kernel's attributes, without write permissions."""
        return attributes_of(os.stat(self._name, dir_fd=self._proc.directory))

    def open(self, flags: int, caller: Caller) -> OpenFile:
        """Open it. Raises OSError EACCES for writing."""
        only_read(flags)
        flags = os.O_RDONLY | os.O_CLOEXEC
        return _Open(os.open(self._name, flags, dir_fd=self._proc.directory))


class PassedFile(File):
    """A file of a process.

    Args:
        process: The process.
        name: Its name in the directory.
    """

    __slots__ = ("_name", "_process")

    def __init__(self, process: RealProcess, name: str) -> None:
        self._process, self._name = process, name

    def attributes(self) -> Attributes:
        """Return the kernel's attributes, without write permissions."""
        return attributes_of(self._process.stat(self._name))

    def open(self, flags: int, caller: Caller) -> OpenFile:
        """Open it as the caller would. Raises OSError as the kernel does; EACCES for writing."""
        only_read(flags)
        fd = self._process.open(self._name, caller)
        return _OpenJudged(fd, self._process) if self._name in _JUDGED_AT_READ else _Open(fd)


class _Open(OpenFile):
    """An open passed file. Several threads may read it at a time: each pread() is one call."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self, size: int, offset: int, caller: Caller) -> bytes:
        """Return what the kernel returns. Raises OSError as it does."""
        return os.pread(self._fd, size, offset)

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)


class _OpenJudged(_Open):
    """An open passed file that some callers may read only in part."""

    __slots__ = ("_process",)

    def __init__(self, fd: int, process: RealProcess) -> None:
        super().__init__(fd)
        self._process = process

    def read(self, size: int, offset: int, caller: Caller) -> bytes:
        """Return what the kernel shows to the caller. Raises OSError as it does."""
        return self._process.read(self._fd, size, offset, caller)


def attributes_of(found: os.stat_result) -> Attributes:
    """Return the attributes in a stat result, without write permissions."""
    return Attributes(
        found.st_mode & ~0o222,
        found.st_uid,
        found.st_gid,
        found.st_nlink,
        found.st_ino,
        found.st_mtime_ns,
    )
