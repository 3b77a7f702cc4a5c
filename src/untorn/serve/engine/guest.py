"""A process of the engine as /proc shows it."""

import errno
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from untorn.errors import os_error
from untorn.syscalls import Process


@dataclass(frozen=True, slots=True)
class Guest:
    """A process, and what the engine does not know of it. Equal guests are the same guest.

    Attributes:
        process: The process.
        uid, gid: Its owner.
        comm: The kernel's name of its program, at most 15 bytes; None: it has no such file.
        cmdline: Its arguments; None: it has no such file.
        tids: Its threads besides the main one. The list may change at any time.
        started_ns: When it began, in ns since 1970.
    """

    process: Process
    uid: int = field(default_factory=os.getuid)
    gid: int = field(default_factory=os.getgid)
    comm: bytes | None = None
    cmdline: Sequence[bytes] | None = field(default=None, hash=False)
    tids: Collection[int] = field(default=(), hash=False)
    started_ns: int = field(default_factory=time.time_ns, compare=False)

    @property
    def gone(self) -> bool:
        """Whether nothing is left of it, because its parent has waited for it."""
        return self.process.proc.reaped

    def check(self) -> None:
        """Raise OSError ESRCH if it is gone."""
        if self.gone:
            raise os_error(errno.ESRCH)


Processes = Mapping[int, Process | Guest]
"""By PID. Any thread may change it at any time, if its methods allow that, as dict's do."""


def guest_of(process: Process | Guest) -> Guest:
    """Return a process as a guest; a bare process belongs to us."""
    return process if isinstance(process, Guest) else Guest(process)


class View(NamedTuple):
    """How guests are shown."""

    strategy: str = "vma_lock"
    """How VMAs are kept still while maps is read: one of MAPS_LOCKINGS. The other files are read
    the same way, or under mmap_lock if they never were read so."""
    proc: str = "/proc"
    """Where the procfs is mounted that shows callers: never below the tree itself."""
