"""What a file system is made of: directories, links and files, whatever they show.

Who serves them calls their methods by several threads at a time. OSError is what the caller gets.
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
    """Who asks. It sleeps until it has its answer, or is killed."""

    uid: int
    """Its fsuid, in our user namespace."""
    gid: int
    """Its fsgid, in our user namespace."""
    tid: int
    """Its thread, in our PID namespace; 0 if it is not seen from there."""
    held: Held = nullcontext
    """In such a context it sleeps on even if it is killed, so that its thread's number and its
    memory are no other's. Entered by one thread at a time; OSError EINTR if it is gone already."""


class Attributes(NamedTuple):
    """What stat() tells of a node."""

    mode: int
    """Type and permissions."""
    uid: int = 0
    gid: int = 0
    nlink: int = 1
    ino: int = 0
    """Inode number; 0 for one of ours."""
    time_ns: int = 0
    """When it began."""
    size: int = 0
    """Bytes."""


class IoctlAnswer(NamedTuple):
    """What an ioctl answers."""

    data: bytes = b""
    """What is to stand, from its first byte on, where the argument points."""
    value: int = 0
    """What the call returns. A negative errno lets it fail, and what it wrote stands."""


class Entry(NamedTuple):
    """A line of a directory."""

    name: bytes
    mode: int
    """Its type, as S_IFDIR; the rest does not matter."""
    ino: int = 0


class Node(ABC):
    """A node of the tree.

    Attributes:
        keep: Seconds for which the kernel may take its name to mean it, without asking again; 0 to
            be asked each time that a path goes through it.
        keep_attributes: Seconds for which it may go on by what stat() was told.
    """

    __slots__ = ()
    keep: float = 0
    keep_attributes: float = 0

    @abstractmethod
    def attributes(self) -> Attributes:
        """Return what stat() tells. Raises OSError ESRCH or ENOENT if it is gone."""

    def forget(self) -> None:  # noqa: B027 (most hold nothing)
        """Let go of what it holds: the kernel does not know it any more."""


class Directory(Node):
    """A directory.

    Attributes:
        keep_absent: Seconds for which the kernel may go on by that it has nothing of a name.
    """

    __slots__ = ()
    keep_absent: float = 0

    @abstractmethod
    def lookup(self, name: bytes, caller: Caller) -> Node:
        """Return the node of that name: the same one for as long as it is the same thing.

        Raises:
            OSError: ENOENT if there is none.
        """

    @abstractmethod
    def entries(self, caller: Caller) -> Sequence[Entry]:
        """Return what is in it, without "." and ".."."""


class Link(Node):
    """A symbolic link. Where it leads is remembered by the kernel for as long as it knows it."""

    __slots__ = ()

    @abstractmethod
    def target(self, caller: Caller) -> bytes:
        """Return where it leads; its size tells how long that is."""


class File(Node):
    """A regular file. It is only read."""

    __slots__ = ()

    @abstractmethod
    def open(self, flags: int, caller: Caller) -> "OpenFile":
        """Open it, for a caller that may."""


def only_read(flags: int) -> None:
    """Raise OSError EACCES if a file is opened to be written to."""
    if flags & os.O_ACCMODE != os.O_RDONLY or flags & os.O_TRUNC:
        raise os_error(errno.EACCES)


class OpenFile(ABC):
    """An open file. Several threads may use one at a time: its descriptor may be shared."""

    __slots__ = ()

    def is_slow(self, offset: int | None = None) -> bool:
        """Tell whether read() from an offset may have to wait for something now; None: ioctl()."""
        return False

    @abstractmethod
    def read(self, size: int, offset: int, caller: Caller) -> bytes:
        """Return at most size bytes from an offset on; b"" at the end."""

    def ioctl(self, request: int, argument: int, data: bytes, caller: Caller) -> IoctlAnswer:
        """Answer an ioctl.

        Args:
            request: Its number.
            argument: What the caller gave: an address in its memory, mostly.
            data: What stood there, of as many bytes as the number tells.
            caller: Who asks.

        Raises:
            OSError: ENOTTY if there is no such ioctl.
        """
        raise os_error(errno.ENOTTY)

    def close(self) -> None:  # noqa: B027 (most hold nothing)
        """Release it. Is called once."""
