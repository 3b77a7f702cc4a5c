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
    """A process, and what the engine does not know of it. What is equal is the same one.

    Attributes:
        process: Itself.
        uid, gid: Whose it is.
        comm: What the kernel calls its program, at most 15 bytes; None: it has no such file.
        cmdline: Its arguments; None: it has no such file.
        tids: Its threads besides the main one. They may change meanwhile.
        started_ns: When it began, since 1970.
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
        """Whether nothing is left of it: its parent has waited for it."""
        return self.process.proc.reaped

    def check(self) -> None:
        """Raise OSError ESRCH if it is gone."""
        if self.gone:
            raise os_error(errno.ESRCH)


Processes = Mapping[int, Process | Guest]
"""By PID. It may change at any time, by any thread, as long as its methods bear that, as dict's."""


def guest_of(process: Process | Guest) -> Guest:
    """Return a process as a guest; a bare one is ours."""
    return process if isinstance(process, Guest) else Guest(process)


class View(NamedTuple):
    """How guests are shown."""

    strategy: str = "vma_lock"
    """How VMAs are kept still while maps is read: one of MAPS_LOCKINGS. The other files are read in
    the same way, or under mmap_lock where they never were."""
    proc: str = "/proc"
    """Where the procfs is mounted that tells who asks: never below what is shown."""
