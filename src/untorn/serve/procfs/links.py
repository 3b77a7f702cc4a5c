"""Links, through which everything that is not ours is the kernel's, with its own checks."""

import os
from typing import NamedTuple

from untorn.serve.fuse.node import Attributes, Caller, Link
from untorn.serve.procfs.real import RealProcess

REAL = ".real"
"""The hidden directory on which the kernel's procfs is mounted."""
SYS = "sys"
"""A directory that is mounted as well: sysctl(8) refuses to follow a link to it."""
FOR_EVER = 1e9
_MODE = 0o120777
_LONGEST = 4095
"""Bytes. Source: include/uapi/linux/limits.h, PATH_MAX."""


class Way(NamedTuple):
    """How links reach the kernel's procfs."""

    proc: str = ""
    """Its path; "" for the hidden directory of the tree that a link is in, wherever that is mounted
    or bound."""

    def to(self, path: str, depth: int = 0) -> bytes:
        """Return the target of a link that is `depth` directories below the root of the tree."""
        if self.proc:
            return os.fsencode(f"{self.proc}/{path}")
        return os.fsencode("../" * depth + f"{REAL}/{path}")


class NamedLink(Link):
    """A link to a name. The kernel remembers its target, which never changes.

    Args:
        target: The name.
        keep: As for any node.
    """

    __slots__ = ("_target", "keep")
    keep_attributes = FOR_EVER

    def __init__(self, target: bytes, *, keep: float = FOR_EVER) -> None:
        self._target, self.keep = target, keep

    def attributes(self) -> Attributes:
        """Return the attributes of a link."""
        return Attributes(_MODE, size=len(self._target))

    def target(self, caller: Caller) -> bytes:
        """Return the name."""
        return self._target


class MagicLink(Link):
    """One of a process's links exe, cwd and root, for a caller that wants to read its text.

    It serves one walk: the next caller that looks up the name gets another one.

    Args:
        process: The process.
        path: Path of the link in its directory.
    """

    __slots__ = ("_path", "_process")

    def __init__(self, process: RealProcess, path: str) -> None:
        self._process, self._path = process, path

    def attributes(self) -> Attributes:
        """Return the attributes of a link, with room for any text."""
        return Attributes(_MODE, size=_LONGEST)

    def target(self, caller: Caller) -> bytes:
        """Return the text that the kernel shows the caller. Raises OSError as it does."""
        return self._process.readlink(self._path, caller)
