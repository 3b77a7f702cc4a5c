"""The directory of a process, and those of its threads.

Some names mean something else for each caller, depending on what it wants of them, and are looked
up each time:

- exe, cwd and root. Their targets may not exist, or be something else for the caller. So a caller
  that reads such a link gets the kernel's text for it, in a link of its own; a caller that
  follows it reaches the kernel's link.
- stat, status, io and cmdline. Some programs open them only if they are not links: for these they
  are passed through. For all others they are links, which takes one request instead of many.
"""

import os
import stat
import threading
from abc import abstractmethod
from collections.abc import Callable, MutableMapping, Sequence
from typing import NamedTuple
from weakref import WeakValueDictionary

from untorn.serve.caller.wants import Wants
from untorn.serve.fuse.node import Attributes, Caller, Directory, Entry, Node
from untorn.serve.host.host import Host
from untorn.serve.host.watched import Kind, Watched
from untorn.serve.procfs.links import FOR_EVER, MagicLink, NamedLink, Way
from untorn.serve.procfs.maps_file import MapsNode
from untorn.serve.procfs.passed import A_DAY, PassedFile, attributes_of
from untorn.serve.procfs.real import RealProcess, RealThread

_KINDS = {kind.value: kind for kind in Kind}
_MAGIC = {"exe", "cwd", "root"}
"""Source: fs/proc/base.c:proc_pid_link_inode_operations."""
_PASSED = {"stat", "status", "io", "cmdline"}
KEEP = 0.1
"""Seconds that a PID is taken for the process that had it. If that is gone in the meantime, opening
a file of it gives ESRCH, as it would have a moment earlier; never another process's file."""


class Seen(NamedTuple):
    """A process, and what it takes to show it."""

    process: RealProcess
    host: Host
    way: Way


class _RealDirectory(Directory):
    """A directory of the kernel's in which some files are ours.

    Args:
        seen: The process.
        inside: Its path from the directory of the process; "" for that directory.
    """

    __slots__ = ("_inside", "_lock", "_nodes", "_seen")
    keep_attributes = KEEP

    def __init__(self, seen: Seen, inside: str = "") -> None:
        self._seen, self._inside = seen, inside
        self._lock = threading.Lock()
        self._nodes: MutableMapping[str, Node] = {}  # protected by _lock

    def attributes(self) -> Attributes:
        """Return the kernel's attributes."""
        return attributes_of(self._seen.process.stat(self._inside or "."))

    def lookup(self, name: bytes, caller: Caller) -> Node:
        """Return the node of a name.

        Raises:
            OSError: As the kernel: ENOENT if there is none, or the process is gone.
        """
        return self._node(os.fsdecode(name))

    def _node(self, name: str) -> Node:
        """Return the node that a name has for every caller."""
        with self._lock:
            node = self._nodes.get(name)
            if node is None:
                path = self._path(name)
                self._seen.process.stat(path)
                node = self._nodes[name] = self._make(name, path)
            return node

    def _path(self, name: str) -> str:
        """Return the path of a name from the directory of the process."""
        return f"{self._inside}/{name}" if self._inside else name

    def _link(self, path: str, *, keep: float = FOR_EVER) -> NamedLink:
        """Return a link to the kernel's file."""
        target = self._seen.way.to(f"{self._seen.process.pid}/{path}", 1 + path.count("/"))
        return NamedLink(target, keep=keep)

    @abstractmethod
    def _make(self, name: str, path: str) -> Node:
        """Return the node of a name that the kernel has."""

    def entries(self, caller: Caller) -> Sequence[Entry]:
        """Return the kernel's entries. Raises OSError ENOENT if the process is gone."""
        names = self._seen.process.names(self._inside or ".", caller)
        return [Entry(os.fsencode(name), self._type_of(name)) for name in names]

    @abstractmethod
    def _type_of(self, name: str) -> int:
        """Return the type that a name in it has here."""


class ThreadDirectory(_RealDirectory):
    """The directory of a thread: files that show its map are ours, the rest is links.

    Args:
        seen: The process.
        shown: What to look at, one after the other, until there is memory.
        inside: Its path from the directory of the process; "" for that directory.
    """

    __slots__ = ("__weakref__", "_shown")
    keep = KEEP
    keep_absent = A_DAY  # a kernel has a file for every process, or for none

    def __init__(self, seen: Seen, shown: Sequence[Watched], inside: str = "") -> None:
        super().__init__(seen, inside)
        self._shown = shown

    def forget(self) -> None:
        """Drop what is known of this thread only."""
        self._seen.host.forget(self._shown[-1])

    def lookup(self, name: bytes, caller: Caller) -> Node:
        """Return the node of a name: see _RealDirectory. Raises OSError as the kernel."""
        text = os.fsdecode(name)
        process = self._seen.process
        if text in _MAGIC and process.wants(caller, name) in (Wants.TEXT, Wants.NODE):
            return MagicLink(process, self._path(text))
        return self._node(text)

    def _make(self, name: str, path: str) -> Node:
        if name in _KINDS:
            seen = self._seen
            return MapsNode(seen.host, seen.process, self._shown, _KINDS[name], path)
        return self._link(path, keep=0 if name in _MAGIC else FOR_EVER)

    def _type_of(self, name: str) -> int:
        return stat.S_IFREG if name in _KINDS else stat.S_IFLNK


class ProcessDirectory(ThreadDirectory):
    """The directory of a process, with those of its threads, and files that are passed through.

    Args:
        seen: The process.
        on_forget: Called when the kernel forgets this directory.

    Attributes:
        keep: As for any node: 0 if not everybody may see the process. Set at each lookup; any of
            them may come last, because they follow the root's options of the same second.
    """

    __slots__ = ("_on_forget", "_passed", "keep")

    def __init__(self, seen: Seen, on_forget: Callable[["ProcessDirectory"], None]) -> None:
        super().__init__(seen, (seen.process,))
        self._on_forget, self.keep = on_forget, KEEP
        self._passed = {name: PassedFile(seen.process, name) for name in _PASSED}

    @property
    def process(self) -> RealProcess:
        """The process."""
        return self._seen.process

    def forget(self) -> None:
        """Drop what is known of the process.

        But keep its directory: a lookup that found this node a moment ago is about to tell the
        kernel of it again. The last holder of the process drops the directory, too.
        """
        self._on_forget(self)
        super().forget()

    def lookup(self, name: bytes, caller: Caller) -> Node:
        """Return the node of a name: see _RealDirectory. Raises OSError as the kernel."""
        text = os.fsdecode(name)
        if text in _PASSED and self.process.wants(caller, name) is not Wants.TARGET:
            return self._passed[text]
        return super().lookup(name, caller)

    def _make(self, name: str, path: str) -> Node:
        if name == "task":
            return TaskDirectory(self._seen, path)
        return self._link(path, keep=0) if name in _PASSED else super()._make(name, path)

    def _type_of(self, name: str) -> int:
        if name == "task":
            return stat.S_IFDIR
        return stat.S_IFREG if name in _PASSED else super()._type_of(name)


class TaskDirectory(_RealDirectory):
    """The directory of a process that has the directories of its threads.

    It knows those that the kernel knows, too: there may be many threads, one after the other.
    """

    __slots__ = ()
    keep, keep_attributes = A_DAY, 1.0

    def __init__(self, seen: Seen, inside: str) -> None:
        super().__init__(seen, inside)
        self._nodes = WeakValueDictionary()

    def lookup(self, name: bytes, caller: Caller) -> Node:
        """Return the directory of a thread. Raises OSError ENOENT if it is gone."""
        text = os.fsdecode(name)
        self._seen.process.stat(self._path(text))
        return self._node(text)

    def _make(self, name: str, path: str) -> Node:
        process = self._seen.process
        # If the main thread lives, one look at the process serves all of its threads.
        return ThreadDirectory(self._seen, (process, RealThread(process, int(name), path)), path)

    def _type_of(self, name: str) -> int:
        return stat.S_IFDIR
