"""The root of the tree: every process that the kernel shows, and everything else in /proc.

As in the directory of a process (process.py), some names depend on what a caller wants of them. A
caller that reads self or thread-self gets its own number; one that walks through it reaches the
kernel's own files, some of which it may write, and stalls only itself. stat and uptime are passed
through to programs that want no links.
"""

import errno
import os
import re
import stat
import threading
from collections.abc import Sequence
from pathlib import Path

from untorn.errors import os_error
from untorn.serve.caller.wants import Wants
from untorn.serve.fuse.node import Attributes, Caller, Directory, Entry, Node
from untorn.serve.host.host import Host
from untorn.serve.procfs.links import FOR_EVER, REAL, SYS, NamedLink, Way
from untorn.serve.procfs.passed import SystemFile
from untorn.serve.procfs.process import KEEP, ProcessDirectory, Seen
from untorn.serve.procfs.real import RealProc

_DIRECTORY = Attributes(stat.S_IFDIR | 0o555, nlink=2)
_SELF, _THREAD_SELF = "self", "thread-self"
_PASSED = {"stat", "uptime"}
_CROWD = 256
"""How many new processes come, at least, between two searches for those that are gone."""
_TOO_MANY_FILES = errno.EMFILE, errno.ENFILE
_TGID = re.compile(rb"^Tgid:\t(\d+)$", re.MULTILINE)


class ProcRoot(Directory):
    """A /proc whose maps files are ours.

    Args:
        proc: The procfs under it.
        host: Looks at processes.
        way: How links reach that procfs.
        most: How many processes we may know at a time; each takes a descriptor.

    Attributes:
        mounted: What to mount on its directories, by name: paths in that procfs.
    """

    def __init__(self, proc: RealProc, host: Host, way: Way, most: int) -> None:
        self._proc, self._host, self._way, self._most = proc, host, way, most
        self._lock = threading.Lock()  # protects the next two, and _others
        self._processes: dict[int, ProcessDirectory] = {}
        self._crowd = _CROWD  # how many there must be before gone ones are dropped
        self._passed = {name: SystemFile(proc, name) for name in _PASSED}
        self.mounted = {} if way.proc else _to_be_mounted(proc)
        self._others: dict[str, Node] = {name: _MountPoint() for name in self.mounted}

    def attributes(self) -> Attributes:
        """Return the attributes of a directory."""
        return _DIRECTORY

    def lookup(self, name: bytes, caller: Caller) -> Node:
        """Return a process that the caller may see, or another node.

        Raises:
            OSError: As the kernel: ENOENT, EPERM.
        """
        text = os.fsdecode(name)
        if text.isdecimal() and text.isascii() and text[0] != "0":
            return self._process(int(text), caller)
        if text in (_SELF, _THREAD_SELF):
            if caller.tid and self._proc.wants(caller, name) in (Wants.TEXT, Wants.NODE):
                return NamedLink(self._number_of(caller, thread=text != _SELF), keep=0)
        elif text in _PASSED and self._proc.wants(caller, name) is not Wants.TARGET:
            return self._passed[text]
        return self._node(text)

    def _number_of(self, caller: Caller, *, thread: bool) -> bytes:
        """Return the text of self, or of thread-self, for a caller."""
        found = _TGID.search(self._proc.read(f"{caller.tid}/status"))
        assert found
        return b"%s/task/%d" % (found[1], caller.tid) if thread else found[1]

    def _node(self, name: str) -> Node:
        """Return the node that a name has for every caller."""
        with self._lock:
            node = self._others.get(name)
            if node is None:
                node = self._others[name] = self._make(name)
            return node

    def _process(self, pid: int, caller: Caller) -> Node:
        """Return a process that a caller may see.

        The kernel may remember processes that are gone for a long time, as no caller looks up their
        names again: they are dropped when many new ones have come, and when no descriptor is left.

        Raises:
            OSError: As the kernel: ENOENT, EPERM; EMFILE or ENFILE.
        """
        try:
            node, is_crowded = self._found(pid, caller)
        except OSError as error:
            if error.errno not in _TOO_MANY_FILES:
                raise
            self._drop_gone()
            return self._found(pid, caller)[0]
        if is_crowded:
            self._drop_gone()
        return node

    def _found(self, pid: int, caller: Caller) -> tuple[Node, bool]:
        """Return a process, and whether it is time to search for those that are gone."""
        found, hides = self._proc.find(pid, caller), self._proc.hides
        with self._lock:
            node = before = self._processes.get(pid)
            if node is None or not node.process.is_at(found):
                node = self._processes[pid] = self._make_process(pid)
            node.keep = 0 if hides else KEEP
            is_crowded = len(self._processes) >= self._crowd
            if is_crowded:
                self._crowd = _crowd_after(len(self._processes))
        if before is not None and before is not node:
            before.process.close_if_gone()
        return node, is_crowded

    def _make_process(self, pid: int) -> ProcessDirectory:
        """Return a process that is not known yet. The lock is held."""
        if len(self._processes) >= self._most:
            raise os_error(errno.EMFILE)
        seen = Seen(self._proc.open(pid), self._host, self._way)
        return ProcessDirectory(seen, self._drop)

    def _drop_gone(self) -> None:
        """Drop all that is known of processes that are gone."""
        with self._lock:
            nodes = list(self._processes.values())
        for node in nodes:
            if node.process.close_if_gone():
                node.forget()
        with self._lock:
            self._crowd = _crowd_after(len(self._processes))

    def _drop(self, node: ProcessDirectory) -> None:
        """Drop a node that the kernel forgot. If it is looked up again, there is a new one."""
        with self._lock:
            if self._processes.get(node.process.pid) is node:
                del self._processes[node.process.pid]

    def _make(self, name: str) -> Node:
        found = os.lstat(name, dir_fd=self._proc.directory)
        if name in (_SELF, _THREAD_SELF) or name in _PASSED:
            return NamedLink(self._way.to(name), keep=0)
        if stat.S_ISLNK(found.st_mode):  # for example mounts, a link to self/mounts
            return NamedLink(os.fsencode(os.readlink(name, dir_fd=self._proc.directory)))
        return NamedLink(self._way.to(name))

    def entries(self, caller: Caller) -> Sequence[Entry]:
        """Return the entries that the kernel shows to the caller."""
        names = self._proc.names(caller)
        return [Entry(os.fsencode(name), self._type_of(name)) for name in names]

    def _type_of(self, name: str) -> int:
        if name.isdecimal() or name in self.mounted:
            return stat.S_IFDIR
        return stat.S_IFREG if name in _PASSED else stat.S_IFLNK


class _MountPoint(Directory):
    """A directory on which one of the kernel's is mounted."""

    __slots__ = ()
    keep = keep_attributes = FOR_EVER

    def attributes(self) -> Attributes:
        """Return the attributes of a directory."""
        return _DIRECTORY

    def lookup(self, name: bytes, caller: Caller) -> Node:
        """Raise OSError ENOENT: it is empty."""
        raise os_error(errno.ENOENT)

    def entries(self, caller: Caller) -> Sequence[Entry]:
        """Return no entries."""
        return ()


def _to_be_mounted(proc: RealProc) -> dict[str, str]:
    """Return the paths to mount, by name. With subset=pid there is no sys."""
    wanted = {REAL: ".", SYS: SYS}
    return {name: path for name, path in wanted.items() if Path(proc.path, path).is_dir()}


def _crowd_after(known: int) -> int:
    """Return at how many processes to search next, so that each costs few searches on average."""
    return known + max(_CROWD, known // 2)
