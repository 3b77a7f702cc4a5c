"""The kernel's requests to a tree, one method each, translated for its nodes.

Files are read without a cache, so each read() of a caller is one request. A file has no size, like
the files of /proc.
"""

import ctypes
import errno
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from untorn.errors import os_error
from untorn.serve.fuse import answers, libfuse
from untorn.serve.fuse.answers import Answer
from untorn.serve.fuse.inodes import Inodes
from untorn.serve.fuse.node import Caller, Directory, Entry, File, Link, OpenFile

_JUST_NOW = 0.1
"""Seconds; a first read this soon after opening a directory shows it as it was opened."""
Gone = Callable[[int, bytes], None]
"""Called with a directory's number and a name in it that means nothing any more."""


class _Listing(NamedTuple):
    """An open directory."""

    entries: list[tuple[int, Entry]]
    """Each with its position."""
    opened: float | None = None
    """When it was opened, in seconds; None once it was read."""


class Slow(NamedTuple):
    """An answer that may have to wait: others must be served meanwhile."""

    work: Callable[[], Answer]


_Reply = Answer | Slow


class Requests:
    """Answers requests; its methods have the names of libfuse's operations.

    Several threads may call them at a time. They raise OSError for an errno.
    """

    def __init__(self, root: Directory, gone: Gone) -> None:
        self._inodes, self._gone = Inodes(root), gone
        self._lock = threading.Lock()
        self._opened: dict[int, OpenFile | _Listing] = {}  # by handle; protected by _lock
        self._last_handle = 0  # protected by _lock

    def lookup(self, caller: Caller, parent: int, name: bytes) -> Answer:
        """Look up a name."""
        directory = self._inodes[parent]
        if not isinstance(directory, Directory):
            raise os_error(errno.ENOTDIR)
        try:
            node = directory.lookup(name, caller)
        except FileNotFoundError:
            if not directory.keep_absent:
                raise
            return answers.absent(directory.keep_absent)
        entry = libfuse.fuse_entry_param()
        entry.attr_timeout, entry.entry_timeout = node.keep_attributes, node.keep
        told = node.attributes()
        entry.ino = number = self._inodes.learnt(node, parent, name)
        answers.fill(entry.attr, told, number)

        def answer(request: int) -> bool:
            arrived = not libfuse.fuse_reply_entry(request, entry)
            if not arrived:
                self._inodes.forgotten(number, 1)
            return arrived

        return answer

    def forgotten(self, number: int, times: int) -> None:
        """Record that the kernel forgets a node that it learnt `times` times."""
        self._inodes.forgotten(number, times)

    def getattr(self, caller: Caller, number: int, info: Any) -> Answer:
        """Return the attributes of a node."""
        node = self._inodes[number]
        if info and isinstance(node, File):
            # The kernel asks through an open file only to seek from the end, which /proc refuses.
            raise os_error(errno.EINVAL)
        return answers.attributes(node.attributes(), number, node.keep_attributes)

    def access(self, caller: Caller, number: int, mask: int) -> Answer:
        """Check whether a caller may access a node."""
        if not answers.may(caller, self._inodes[number].attributes(), mask):
            raise os_error(errno.EACCES)
        return answers.done

    def readlink(self, caller: Caller, number: int) -> Answer:
        """Return the target of a link."""
        node = self._inodes[number]
        if not isinstance(node, Link):
            raise os_error(errno.EINVAL)
        return answers.text(node.target(caller))

    def statfs(self, caller: Caller, number: int) -> Answer:
        """Return what there is to say of the file system."""
        return answers.statistics()

    def open(self, caller: Caller, number: int, info: Any) -> Answer:
        """Open a file."""
        node, flags = self._inodes[number], info.contents.flags
        if not isinstance(node, File):
            raise os_error(errno.EISDIR)

        return self._opened_as(node.open(flags, caller))

    def opendir(self, caller: Caller, number: int, info: Any) -> Answer:
        """Open a directory, and report which of its names have no meaning any more."""
        node = self._inodes[number]
        if not isinstance(node, Directory):
            raise os_error(errno.ENOTDIR)
        entries = node.entries(caller)
        if passing := self._inodes.passing(number):
            there = {each.name for each in entries}
            for name in passing:
                if name not in there:
                    self._gone(number, name)
        return self._opened_as(_Listing(answers.positions(entries), time.monotonic()))

    def _opened_as(self, opened: OpenFile | _Listing) -> Answer:
        """Keep an open file and answer with its handle; close it if the answer does not arrive."""
        with self._lock:
            self._last_handle += 1
            handle = self._last_handle
            self._opened[handle] = opened
        told = libfuse.fuse_file_info(fh=handle, direct_io=isinstance(opened, OpenFile))

        def answer(request: int) -> bool:
            arrived = not libfuse.fuse_reply_open(request, told)
            if not arrived:
                self._close(handle)
            return arrived

        return answer

    def _close(self, handle: int) -> None:
        with self._lock:
            opened = self._opened.pop(handle)
        if isinstance(opened, OpenFile):
            opened.close()

    def _file(self, info: Any) -> OpenFile:
        with self._lock:
            opened = self._opened[info.contents.fh]
        assert isinstance(opened, OpenFile)
        return opened

    def read(self, caller: Caller, number: int, size: int, offset: int, info: Any) -> _Reply:
        """Read a file."""
        file = self._file(info)

        def work() -> Answer:
            return answers.data(file.read(size, offset, caller))

        return Slow(work) if file.is_slow(offset) else work()

    def ioctl(
        self,
        caller: Caller,
        number: int,
        command: int,
        argument: int | None,
        info: Any,
        flags: int,
        given: int | None,
        size: int,
        room: int,
    ) -> _Reply:
        """Make an ioctl. Directories have none."""
        if flags & libfuse.FUSE_IOCTL_DIR:
            raise os_error(errno.ENOTTY)
        file, taken = self._file(info), ctypes.string_at(given, size) if given else b""

        def work() -> Answer:
            told = file.ioctl(command, argument or 0, taken, caller)
            return answers.ioctl(told.value, told.data[:room])

        return Slow(work) if file.is_slow() else work()

    def readdir(self, caller: Caller, number: int, size: int, offset: int, info: Any) -> Answer:
        """Read a directory as it was when it was opened or rewound."""
        if not offset:
            self._begin_listing(caller, number, info.contents.fh)
        with self._lock:
            listing = self._opened[info.contents.fh]
        assert isinstance(listing, _Listing)
        return answers.listing([each for each in listing.entries if each[0] > offset], size)

    def _begin_listing(self, caller: Caller, number: int, handle: int) -> None:
        """List a directory that is read from the start, unless it was opened just now."""
        with self._lock:
            listing = self._opened[handle]
            assert isinstance(listing, _Listing)
            self._opened[handle] = listing._replace(opened=None)
        if listing.opened is not None and time.monotonic() - listing.opened < _JUST_NOW:
            return
        node = self._inodes[number]
        assert isinstance(node, Directory)
        found = _Listing(answers.positions(node.entries(caller)))
        with self._lock:
            self._opened[handle] = found

    def release(self, caller: Caller, number: int, info: Any) -> Answer:
        """Close a file."""
        self._close(info.contents.fh)
        return answers.done

    releasedir = release
