"""maps, smaps, smaps_rollup and numa_maps, as the host's one reader finds them.

The kernel judges who may open one: we open it with the caller's rights, and close it again. The
kernel's file stays with the memory for which it was opened. Ours shows the present memory, which
may be that of a program with more rights by then. So each read is judged, too, once its result is
there; the result goes to this reader only, or to nobody if the reader is killed.
"""

import errno
import os
import threading
from collections.abc import Sequence

from untorn.errors import os_error
from untorn.fs.seq_file import SeqFile
from untorn.reader.live_maps import LiveMaps
from untorn.serve.caller.memory import CallerMemory
from untorn.serve.caller.thread_credentials import Credentials
from untorn.serve.fuse.node import Attributes, Caller, File, IoctlAnswer, OpenFile, only_read
from untorn.serve.host.host import Host
from untorn.serve.host.opened import OpenText
from untorn.serve.host.watched import Kind, Watched
from untorn.serve.procfs.passed import A_DAY, attributes_of
from untorn.serve.procfs.procmap_ioctl import procmap_ioctl
from untorn.serve.procfs.real import RealProcess
from untorn.serve.text.text import Text


class MapsNode(File):
    """One of these files.

    Args:
        host: Looks at processes.
        process: The process.
        shown: What to look at, one after the other, until there is memory.
        kind: Which file it is.
        path: Path in the directory of the process, as task/TID/maps.
    """

    __slots__ = ("_host", "_kind", "_path", "_process", "_shown")
    # Its attributes are not kept: else we are not asked about a seek from the end, to refuse it.
    keep = A_DAY

    def __init__(
        self, host: Host, process: RealProcess, shown: Sequence[Watched], kind: Kind, path: str
    ) -> None:
        self._host, self._process, self._shown = host, process, shown
        self._kind, self._path = kind, path

    def attributes(self) -> Attributes:
        """Return the kernel's attributes."""
        return attributes_of(self._process.stat(self._path))

    def open(self, flags: int, caller: Caller) -> OpenFile:
        """Open it for a caller that may. Raises OSError as the kernel does; EACCES for writing."""
        only_read(flags)
        os.close(self._process.open(self._path, caller))
        text = OpenText(self._host.open_texts, self.text)
        return _OpenMaps(self, text, self._process.credentials_of(caller))

    @property
    def is_known(self) -> bool:
        """Whether its text is known without a look at the process, or soon."""
        for each in self._shown:
            text = self._host.cached(each, self._kind)
            if text is None:
                return self._host.is_quick(each, self._kind)
            if text.records:
                return True
        return True

    def text(self) -> Text:
        """Return its text, from the first that has memory. Raises OSError as Host.text()."""
        texts = (self._host.text(each, self._kind) for each in self._shown)
        return next((text for text in texts if text.records), Text([]))

    def maps(self) -> LiveMaps:
        """Return maps for queries; they belong to one memory.

        Raises:
            OSError: As Host.open_maps(); ENOTTY for files other than maps.
        """
        if self._kind is not Kind.MAPS:
            raise os_error(errno.ENOTTY)
        return self._host.open_maps(self._process)

    def judge(self, reader: Caller, opener: Credentials) -> None:
        """Raise OSError EACCES if neither caller may see the process as it is now.

        Precondition: the result is there.
        """
        self._process.check_open(self._path, reader, opener)


class _OpenMaps(OpenFile):
    """An open maps file. Its text is looked for when it is read from the start."""

    def __init__(self, node: MapsNode, text: OpenText, opener: Credentials) -> None:
        self._node, self._text, self._opener = node, text, opener
        self._lock = threading.Lock()
        self._file = SeqFile(text)  # protected by _lock
        self._asked_lock = threading.Lock()
        self._asked: LiveMaps | None = None  # protected by _asked_lock, as is the next one
        self._closed = False

    def is_slow(self, offset: int | None = None) -> bool:
        """Return whether it takes a look at the process, or waits for one.

        This may be wrong by the time of the call, which then holds up others for a moment.
        """
        if offset is None:
            return self._asked_lock.locked()
        at_first = offset == 0 or not self._text.is_kept
        return self._lock.locked() or (at_first and not self._node.is_known)

    def read(self, size: int, offset: int, caller: Caller) -> bytes:
        """Return what the kernel's file would return. Raises OSError as Host.text(); EACCES."""
        with self._lock:
            if offset == 0:
                self._text.renew()
            text = self._file.pread(size, offset)
        self._node.judge(caller, self._opener)
        return text

    def ioctl(self, request: int, argument: int, data: bytes, caller: Caller) -> IoctlAnswer:
        """Answer PROCMAP_QUERY from maps of the process as they are now.

        Raises:
            OSError: As procmap_ioctl() and MapsNode.maps(); EACCES.
        """
        memory = CallerMemory(caller.tid, argument, data, caller.held)
        with self._asked_lock:
            if self._closed:  # the caller was killed, and let go
                raise os_error(errno.EBADF)
            if self._asked is None:
                self._asked = self._node.maps()
            self._node.judge(caller, self._opener)
            procmap_ioctl(self._asked, request, memory, argument)
        return IoctlAnswer(memory.carried)

    def close(self) -> None:
        """Close the maps that were queried, and drop the text.

        A call may still run for a caller that was killed: then its maps are closed after it.
        """
        self._text.close()
        with self._asked_lock:
            self._closed = True
            if self._asked is not None:
                self._asked.close()
