"""Files of a guest: who may open them, and what they then show."""

import stat
from abc import ABC, abstractmethod
from copy import copy
from dataclasses import dataclass

from untorn.fs.proc.base import proc_mem_open
from untorn.fs.proc.files import PROC_FILES
from untorn.fs.proc.pagemap import ProcPagemap
from untorn.mm.mm_types import mmdrop
from untorn.serve.engine.guest import Guest, View
from untorn.serve.engine.opened import OpenGuestFile, OpenText
from untorn.serve.engine.rights import (
    Capabilities,
    capabilities_of,
    check_looks_at_pages,
    check_looks_at_vmas,
)
from untorn.serve.fuse.node import Attributes, Caller, File, OpenFile, only_read

KEEP = 3600.0
"""Seconds. A name below the directory of a process never changes its meaning; the directory
itself is looked up each time."""
FALLBACK = "mmap_lock"
"""How Linux kept the other files still while only maps used another way."""
_COMM_MAX = 15
"""Bytes. Source: include/linux/sched.h, TASK_COMM_LEN."""


@dataclass(frozen=True, slots=True)
class GuestFile(File, ABC):
    """A file of a guest, below the directory of a PID or TID.

    Attributes:
        number: PID or TID.
        guest: The process that it belongs to.
        view: How it is shown.
    """

    number: int
    guest: Guest
    view: View
    keep = KEEP
    permissions = 0o444

    def attributes(self) -> Attributes:
        """Return the result of stat()."""
        guest, mode = self.guest, stat.S_IFREG | self.permissions
        return Attributes(mode, guest.uid, guest.gid, time_ns=guest.started_ns)

    def open(self, flags: int, caller: Caller) -> OpenFile:
        """Open it.

        Raises:
            OSError: ESRCH if the process is gone, or has no memory and the file shows nothing else;
                EACCES if the caller may not look, or wants to write.
        """
        only_read(flags)
        self.guest.check()
        return self.opened(caller)

    @abstractmethod
    def opened(self, caller: Caller) -> OpenFile:
        """Return the open file. Raises OSError as open()."""


@dataclass(frozen=True, slots=True)
class VmaFile(GuestFile):
    """A file that shows VMAs.

    Attributes:
        name: One of fs/proc/files.py.
    """

    name: str

    def opened(self, caller: Caller) -> OpenFile:
        """Return the open file. Raises OSError as open()."""
        check_looks_at_vmas(self.guest, caller, self.view.proc)
        file, strategy = PROC_FILES[self.name], self.view.strategy
        reader = strategy if strategy in file.lockings else FALLBACK
        opened = file.open(self.guest.process.proc, reader)
        return OpenGuestFile(opened, opened.pread)


@dataclass(frozen=True, slots=True)
class Pagemap(GuestFile):
    """The file that shows pages."""

    permissions = 0o400

    def opened(self, caller: Caller) -> OpenFile:
        """Return the open file. Raises OSError as open()."""
        check_looks_at_pages(self.guest, caller, self.view.proc)
        opener = copy(self.guest.process.proc)
        has = capabilities_of(caller, self.view.proc)
        opener.cap_sys_admin = Capabilities.SYS_ADMIN in has
        opened = ProcPagemap(opener)
        return OpenGuestFile(opened, lambda size, offset: opened.read_at(offset, size))


@dataclass(frozen=True, slots=True)
class Comm(GuestFile):
    """The file with the name of the program."""

    def opened(self, caller: Caller) -> OpenFile:
        """Return the open file."""
        return OpenText((self.guest.comm or b"")[:_COMM_MAX] + b"\n")


@dataclass(frozen=True, slots=True)
class Cmdline(GuestFile):
    """The file with the arguments, which vanish with the memory of the process."""

    def opened(self, caller: Caller) -> OpenFile:
        """Return the open file."""
        mm = proc_mem_open(self.guest.process.proc)
        if mm is None:
            return OpenText(b"")
        mmdrop(mm)
        return OpenText(b"".join(argument + b"\0" for argument in self.guest.cmdline or ()))
