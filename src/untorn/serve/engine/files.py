"""Files of a guest: what they are, and what an open one does."""

import errno
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass

from untorn.errors import NotModelledError
from untorn.fs.proc.base import proc_mem_open
from untorn.fs.proc.files import PROC_FILES
from untorn.fs.proc.pagemap import ProcPagemap
from untorn.fs.proc.vma_file import ProcVmaFile
from untorn.mm.mm_types import mmdrop
from untorn.serve.caller.memory import CallerMemory
from untorn.serve.engine.guest import Guest, View
from untorn.serve.engine.rights import (
    Capabilities,
    capabilities_of,
    check_looks_at_pages,
    check_looks_at_vmas,
)
from untorn.serve.fuse.node import Attributes, Caller, File, IoctlAnswer, OpenFile, only_read

KEEP = 3600.0
"""Seconds. What is below the directory of a process never comes to mean something else; the
directory itself is asked for each time."""
FALLBACK = "mmap_lock"
"""How Linux read the other files when maps alone was read in another way."""
_COMM_MAX = 15
"""Bytes. Source: include/linux/sched.h, TASK_COMM_LEN."""


class Text(OpenFile):
    """A short text, as it was when the file was opened."""

    __slots__ = ("_text",)

    def __init__(self, text: bytes) -> None:
        self._text = text

    def read(self, size: int, offset: int, caller: Caller) -> bytes:
        """Return a part of it."""
        return self._text[offset : offset + size]


class OpenVmaFile(OpenFile):
    """An open file that tells of VMAs. The engine's own keeps its threads apart."""

    __slots__ = ("_file",)

    def __init__(self, file: ProcVmaFile) -> None:
        self._file = file

    def is_slow(self, offset: int | None = None) -> bool:
        """Tell whether a call may have to wait: for the engine's locks it may."""
        return True

    def read(self, size: int, offset: int, caller: Caller) -> bytes:
        """Return what the engine returns. Raises OSError as it does; see _modelled()."""
        with _modelled():
            return self._file.pread(size, offset)

    def ioctl(self, request: int, argument: int, data: bytes, caller: Caller) -> IoctlAnswer:
        """Answer an ioctl by the engine's own. Raises OSError as that does; see _modelled()."""
        memory = CallerMemory(caller.tid, argument, data)
        with _modelled():
            self._file.ioctl(request, memory, argument)
        return IoctlAnswer(memory.carried)

    def close(self) -> None:
        """Release it."""
        self._file.close()


class OpenPagemap(OpenFile):
    """An open pagemap."""

    __slots__ = ("_file",)

    def __init__(self, file: ProcPagemap) -> None:
        self._file = file

    def is_slow(self, offset: int | None = None) -> bool:
        """Tell whether a call may have to wait: for the engine's locks it may."""
        return True

    def read(self, size: int, offset: int, caller: Caller) -> bytes:
        """Return what the engine returns. Raises OSError as it does; see _modelled()."""
        with _modelled():
            return self._file.read_at(offset, size)

    def ioctl(self, request: int, argument: int, data: bytes, caller: Caller) -> IoctlAnswer:
        """Answer an ioctl by the engine's own.

        One that fails may write to the caller's memory all the same: where it had to stop.

        Raises:
            OSError: See _modelled().
        """
        memory = CallerMemory(caller.tid, argument, data)
        with _modelled():
            try:
                value = self._file.ioctl(request, memory, argument)
            except OSError as error:
                value = -(error.errno or errno.EIO)
        return IoctlAnswer(memory.carried, value)

    def close(self) -> None:
        """Release it."""
        self._file.close()


@contextmanager
def _modelled() -> Iterator[None]:
    """Raise OSError EOPNOTSUPP where the engine does not know what Linux would do."""
    try:
        yield
    except NotModelledError as error:
        raise OSError(errno.EOPNOTSUPP, str(error)) from error


@dataclass(frozen=True, slots=True)
class GuestFile(File, ABC):
    """A file of a guest, below the directory of a number.

    Attributes:
        number: PID or TID.
        guest: Whose it is.
        view: How it is shown.
    """

    number: int
    guest: Guest
    view: View
    keep = KEEP
    permissions = 0o444

    def attributes(self) -> Attributes:
        """Return what stat() tells."""
        guest, mode = self.guest, stat.S_IFREG | self.permissions
        return Attributes(mode, guest.uid, guest.gid, time_ns=guest.started_ns)

    def open(self, flags: int, caller: Caller) -> OpenFile:
        """Open it.

        Raises:
            OSError: ESRCH if the process is gone, or has no memory and the file tells of nothing
                else; EACCES if the caller may not look, or wants to write.
        """
        only_read(flags)
        self.guest.check()
        return self.opened(caller)

    @abstractmethod
    def opened(self, caller: Caller) -> OpenFile:
        """Return it open. Raises OSError as open()."""


@dataclass(frozen=True, slots=True)
class VmaFile(GuestFile):
    """A file that tells of VMAs.

    Attributes:
        name: One of fs/proc/files.py.
    """

    name: str

    def opened(self, caller: Caller) -> OpenFile:
        """Return it open. Raises OSError as open()."""
        check_looks_at_vmas(self.guest, caller, self.view.proc)
        file, strategy = PROC_FILES[self.name], self.view.strategy
        reader = strategy if strategy in file.lockings else FALLBACK
        return OpenVmaFile(file.open(self.guest.process.proc, reader))


@dataclass(frozen=True, slots=True)
class Pagemap(GuestFile):
    """The file that tells of pages."""

    permissions = 0o400

    def opened(self, caller: Caller) -> OpenFile:
        """Return it open. Raises OSError as open()."""
        check_looks_at_pages(self.guest, caller, self.view.proc)
        opener = copy(self.guest.process.proc)
        has = capabilities_of(caller, self.view.proc)
        opener.cap_sys_admin = Capabilities.SYS_ADMIN in has
        return OpenPagemap(ProcPagemap(opener))


@dataclass(frozen=True, slots=True)
class Comm(GuestFile):
    """The file that tells what the program is called."""

    def opened(self, caller: Caller) -> OpenFile:
        """Return it open."""
        return Text((self.guest.comm or b"")[:_COMM_MAX] + b"\n")


@dataclass(frozen=True, slots=True)
class Cmdline(GuestFile):
    """The file that tells the arguments, which go with the memory of the process."""

    def opened(self, caller: Caller) -> OpenFile:
        """Return it open."""
        mm = proc_mem_open(self.guest.process.proc)
        if mm is None:
            return Text(b"")
        mmdrop(mm)
        return Text(b"".join(argument + b"\0" for argument in self.guest.cmdline or ()))
