"""The nodes of a file system: directories, links and files, whatever they show.

Several threads of the server call their methods at a time. The caller gets their OSErrors.
"""

import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from untorn.errors import os_error

Held = Callable[[], AbstractContextManager[object]]


class Caller(NamedTuple):
    """A process that asks. It sleeps until it has its answer, or is killed."""

    uid: int
    """Its fsuid in our user namespace."""
    gid: int
    """Its fsgid in our user namespace."""
    tid: int
    """Its thread in our PID namespace; 0 if that does not see it."""
    held: Held = nullcontext
    """A context in which it sleeps on even if it is killed, so that its TID and memory stay its
    own. One thread enters it at a time; OSError EINTR if it is gone already."""


class Attributes(NamedTuple):
    """The result of stat() for a node."""

    mode: int
    """Type and permissions."""
    uid: int = 0
    gid: int = 0
    nlink: int = 1
    ino: int = 0
    """Inode number; 0 to use one of ours."""
    time_ns: int = 0
    """When it began."""
    size: int = 0
    """Bytes."""


class IoctlAnswer(NamedTuple):
    """The answer to an ioctl."""

    data: bytes = b""
    """The bytes to write to where the argument points."""
    value: int = 0
    """The return value. A negative errno makes the call fail; what it wrote stays written."""


class Entry(NamedTuple):
    """A line of a directory."""

    name: bytes
    mode: int
    """Its type, as S_IFDIR; other bits are ignored."""
    ino: int = 0


class Node(ABC):
    """A node of the tree.

    Attributes:
        keep: Seconds that the kernel may remember what the name means; 0 to be asked each time that
            a path goes through it.
        keep_attributes: Seconds that the kernel may remember the result of stat().
    """

    __slots__ = ()
    keep: float = 0
    keep_attributes: float = 0

    @abstractmethod
    def attributes(self) -> Attributes:
        """Return the result of stat(). Raises OSError ESRCH or ENOENT if the node is gone."""

    def forget(self) -> None:  # noqa: B027 (most hold nothing)
        """Drop what it holds: the kernel does not know it any more."""


class Directory(Node):
    """A directory.

    Attributes:
        keep_absent: Seconds that the kernel may remember that a name does not exist.
    """

    __slots__ = ()
    keep_absent: float = 0

    @abstractmethod
    def lookup(self, name: bytes, caller: Caller) -> Node:
        """Return the node of that name: the same node as long as the name means the same thing.

        Raises:
            OSError: ENOENT if there is none.
        """

    @abstractmethod
    def entries(self, caller: Caller) -> Sequence[Entry]:
        """Return its entries, without "." and ".."."""


class Link(Node):
    """A symbolic link. The kernel remembers the target as long as it knows the node."""

    __slots__ = ()

    @abstractmethod
    def target(self, caller: Caller) -> bytes:
        """Return the target; its length is the size of the link."""


class File(Node):
    """A regular, read-only file."""

    __slots__ = ()

    @abstractmethod
    def open(self, flags: int, caller: Caller) -> "OpenFile":
        """Open it for a caller that may."""


def only_read(flags: int) -> None:
    """Raise OSError EACCES if a file is opened for writing."""
    if flags & os.O_ACCMODE != os.O_RDONLY or flags & os.O_TRUNC:
        raise os_error(errno.EACCES)


class OpenFile(ABC):
    """An open file. Several threads may use it at a time, because a descriptor may be shared."""

    __slots__ = ()

    def is_slow(self, offset: int | None = None) -> bool:
        """Return whether read() at an offset may have to wait now; None asks about ioctl()."""
        return False

    @abstractmethod
    def read(self, size: int, offset: int, caller: Caller) -> bytes:
        """Return at most size bytes from an offset on; b"" at the end."""

    def ioctl(self, request: int, argument: int, data: bytes, caller: Caller) -> IoctlAnswer:
        """Answer an ioctl.

        Args:
            request: Its number.
            argument: The caller's argument: usually an address in its memory.
            data: The bytes there, as many as the request number says.
            caller: The caller.

        Raises:
            OSError: ENOTTY if there is no such ioctl.
        """
        raise os_error(errno.ENOTTY)

    def close(self) -> None:  # noqa: B027 (most hold nothing)
        """Close it. Called once."""
