"""The directories: the root, a process, its threads.

All are made on demand; to the code that serves them, equal nodes are the same node.
"""

import errno
import os
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from untorn.errors import os_error
from untorn.fs.proc.files import PROC_FILES
from untorn.serve.engine.files import KEEP, Cmdline, Comm, Pagemap, VmaFile
from untorn.serve.engine.guest import Guest, Processes, View, guest_of
from untorn.serve.fuse.node import Attributes, Caller, Directory, Entry, Node
from untorn.syscalls import Process

_MODE = stat.S_IFDIR | 0o555
_NOT_OF_THREADS = b"smaps_rollup"
"""Source: fs/proc/base.c:tid_base_stuff."""


@dataclass(frozen=True, slots=True)
class EngineRoot(Directory):
    """A directory for each process.

    Attributes:
        processes: The processes, by PID.
        view: How they are shown.
    """

    processes: Processes = field(compare=False)
    view: View = field(default_factory=View)
    started_ns: int = field(default_factory=time.time_ns)

    def attributes(self) -> Attributes:
        """Return the result of stat()."""
        return Attributes(_MODE, os.getuid(), os.getgid(), 2, time_ns=self.started_ns)

    def lookup(self, name: bytes, caller: Caller) -> Node:
        """Return the directory of a process. Raises OSError ENOENT if there is no such process."""
        pid = _number(name)
        guest = self._guest(pid)
        if guest is None:
            raise os_error(errno.ENOENT)
        return ProcessDirectory(pid, guest, self.view)

    def entries(self, caller: Caller) -> Sequence[Entry]:
        """Return the PIDs."""
        pids = sorted(pid for pid in list(self.processes) if self._guest(pid))
        return [Entry(b"%d" % pid, stat.S_IFDIR) for pid in pids]

    def _guest(self, pid: int) -> Guest | None:
        process = self.processes.get(pid)
        if not isinstance(process, Process | Guest):  # a value that is not a process is not shown
            return None
        guest = guest_of(process)
        return None if guest.gone else guest


@dataclass(frozen=True, slots=True)
class GuestDirectory(Directory):
    """A directory that belongs to a guest.

    Attributes:
        number: PID or TID.
        guest: The process.
        view: How it is shown.
    """

    number: int
    guest: Guest
    view: View

    def attributes(self) -> Attributes:
        """Return the result of stat(), even if the process is gone."""
        guest = self.guest
        return Attributes(_MODE, guest.uid, guest.gid, 2, time_ns=guest.started_ns)

    def lookup(self, name: bytes, caller: Caller) -> Node:
        """Return the node of that name. Raises OSError ENOENT, or ESRCH if the process is gone."""
        self.guest.check()
        node = self.nodes().get(name)
        if node is None:
            raise os_error(errno.ENOENT)
        return node

    def entries(self, caller: Caller) -> Sequence[Entry]:
        """Return its entries; none if the process is gone."""
        if self.guest.gone:
            return ()
        return [Entry(name, node.attributes().mode) for name, node in self.nodes().items()]

    def nodes(self) -> Mapping[bytes, Node]:
        """Return its nodes: the files that processes and threads have."""
        about = self.number, self.guest, self.view
        files = {name.encode(): VmaFile(*about, name) for name in PROC_FILES}
        return {**files, b"pagemap": Pagemap(*about)}


class ProcessDirectory(GuestDirectory):
    """The directory of a process."""

    __slots__ = ()

    def nodes(self) -> Mapping[bytes, Node]:
        """Return its nodes."""
        about = self.number, self.guest, self.view
        nodes: dict[bytes, Node] = {**GuestDirectory.nodes(self), b"task": TaskDirectory(*about)}
        if self.guest.comm is not None:
            nodes[b"comm"] = Comm(*about)
        if self.guest.cmdline is not None:
            nodes[b"cmdline"] = Cmdline(*about)
        return nodes


class TaskDirectory(GuestDirectory):
    """The directory of the threads of a process."""

    __slots__ = ()
    keep = KEEP

    def nodes(self) -> Mapping[bytes, Node]:
        """Return its nodes."""
        tids = sorted({self.number, *self.guest.tids})
        return {b"%d" % tid: ThreadDirectory(tid, self.guest, self.view) for tid in tids}


class ThreadDirectory(GuestDirectory):
    """The directory of a thread."""

    __slots__ = ()

    def nodes(self) -> Mapping[bytes, Node]:
        """Return its nodes."""
        nodes = GuestDirectory.nodes(self)
        return {name: node for name, node in nodes.items() if name != _NOT_OF_THREADS}


def _number(name: bytes) -> int:
    """Return the number that a name means, as Linux reads it; 0, which no process has, if none."""
    return int(name) if name.isdigit() and name[:1] != b"0" else 0
