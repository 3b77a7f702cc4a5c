"""The open maps of a process: text, queries, snapshots and places in files."""

import errno
import os
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from untorn.errors import OutOfReachError, os_error
from untorn.maps.entry import MapsEntry
from untorn.maps.maps_file import NO_FLAGS, PATH_MAX, find_no_query, no_query
from untorn.maps.page import ULONG_MAX
from untorn.maps.procmap_query import QueriedVma, QueryFlags
from untorn.reader.access.gentle import open_maps_file
from untorn.reader.access.idleness import find_idleness
from untorn.reader.access.limit import MAX_HOLD, TIMEOUT, half_the_time, is_interruption, within
from untorn.reader.access.maps_file import LiveMapsFile
from untorn.reader.access.reach import Reach
from untorn.reader.access.task import Thread, no_map, place_of, status_of
from untorn.reader.lookup import KERNEL_HALF, entry_above, entry_of

if TYPE_CHECKING:
    from untorn.reader.details import Details
    from untorn.reader.files.location import Location
    from untorn.reader.files.mapped_file import MappedFiles
    from untorn.reader.snapshot import Snapshot

T = TypeVar("T")
_PERMS = {
    "r": QueryFlags.VMA_READABLE,
    "w": QueryFlags.VMA_WRITABLE,
    "x": QueryFlags.VMA_EXECUTABLE,
    "s": QueryFlags.VMA_SHARED,
}
_ATTEMPTS = 3
"""Looks at what may change from one system call to the next."""
_MOST_THREADS = 100
"""Threads, one after the other, by which a look is made while they end."""


class LiveMaps:
    """The open maps of a real process.

    They are those of one memory: if the process ends or changes its program, they end, and never
    show that of another one which got the same number. If its main thread has ended, it is read by
    one that lives. To be used by one thread at a time.

    Args:
        pid: The process, or a thread of it.
        proc: Where procfs is mounted; pid is its number there.
        gentle: Whether to read at a raised priority and an even pace; None does so where this
            kernel takes mmap_lock to show a map. See reader/access/gentle.py.
        ioctl: False to do without PROCMAP_QUERY, as where the kernel has none (before 6.11).
        timeout: Seconds that each look may take (query, snapshot, locate, is_file, details): one
            that is late raises TimeoutError, and then the maps are closed. None for as long as
            the kernel takes, which spares each look the 0.1 ms of a thread. read() and seek()
            have no limit.

    Raises:
        OSError: ENOENT if there is no such process, EACCES or EPERM if its map may not be read.
    """

    def __init__(
        self,
        pid: int,
        *,
        proc: str = "/proc",
        gentle: bool | None = None,
        ioctl: bool = True,
        timeout: float | None = TIMEOUT,
    ) -> None:
        self._reach, self._gentle, self._ioctl = Reach(pid, proc), gentle, ioctl
        self._timeout, self._path = timeout, f"{proc}/{pid}/maps"
        self._closed = False
        self._opened: LiveMapsFile | None = None
        within(timeout, self._begin, self._path, self._close_file)

    def _open(self, thread: int | None = None) -> LiveMapsFile:
        pid, proc = self._reach.pid, self._reach.proc
        return open_maps_file(pid, "maps", proc, thread, gentle=self._gentle)

    def _begin(self) -> None:
        self._opened = self._open()
        self._idleness = find_idleness(self._reach.pid, self._reach.proc)

    @property
    def _file(self) -> LiveMapsFile:
        if self._opened is None:
            raise os_error(errno.EBADF)
        return self._opened

    def read(self, size: int) -> bytes:
        """Return the bytes of one system call: see MapsFile."""
        self._check_open()
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a byte offset from the start (0) or from here (1): see MapsFile."""
        self._check_open()
        return self._file.seek(offset, whence)

    def query(
        self,
        addr: int,
        *,
        next: bool = False,  # noqa: A002 (the kernel's word, and only a keyword)
        file_backed: bool = False,
        perms: str = "",
        name: bool = True,
        build_id: bool = False,
    ) -> QueriedVma:
        """Describe the VMA at a byte address.

        By the ioctl, or where there is none by the text, which takes as long as a snapshot, moves
        the file, and cannot tell a newline in a name from the four characters it is shown as.
        [vsyscall] is found from addresses of the kernel's half on.

        Args:
            addr: Byte address, not necessarily aligned.
            next: If none is there that matches, take the next one above that does.
            file_backed: It must map a file.
            perms: Letters of "rwxs": it must have all of these permissions.
            name: Tell its name.
            build_id: Tell the build id of its file, or why none can be told. It is read from the
                file, and only if that is a regular one: see location.py.

        Raises:
            OSError: ENOENT if none matches; ESRCH if the process has no memory, with the reason;
                ETIMEDOUT if it takes longer than it may.
            ValueError: perms has another letter.
        """
        ask = partial(self._query, addr, _flags(next, file_backed, perms), named=name or build_id)
        look = partial(self._settled, ask, self._with_build_id) if build_id else ask
        found = self._look(look)
        return found if name else found._replace(name=b"")

    def snapshot(self, previous: "Snapshot | None" = None) -> "Snapshot":
        """Read the whole map: see take.py for what is checked. Moves the file.

        Args:
            previous: An older snapshot of this process: what did not change is taken from it.

        Raises:
            OSError: ESRCH, with the reason, if the process has no memory, or loses it meanwhile;
                ETIMEDOUT if it takes longer than it may.
        """
        return self._look(partial(self._take, previous))

    def locate(self, addr: int, *, build_id: bool = False) -> "Location":
        """Return where a byte address lies in the file that is mapped there: see Location.

        Args:
            addr: Byte address.
            build_id: Tell the build id of the file, too.

        Raises:
            OSError: ENOENT if nothing is mapped there; else as query().
        """
        from untorn.reader.files.location import locate

        def look(vma: QueriedVma) -> "Location":
            beside = partial(self._beside, vma)
            return locate(self.files(), vma, addr, beside, build_id=build_id)

        return self._look(partial(self._settled, partial(self._query, addr), look))

    def is_file(self, addr: int, path: str | bytes | os.PathLike[str]) -> bool:
        """Tell whether the file at a path is the one that is mapped at a byte address.

        Right on btrfs and overlayfs, too, and whatever names the file has: see same_file.py.

        Raises:
            OSError: ENOENT if nothing is mapped there, or no file is at that path; else as query().
            OutOfReachError: It cannot be told here.
        """
        from untorn.reader.files.found_file import FoundFile
        from untorn.reader.files.same_file import is_same

        def look(vma: QueriedVma) -> bool:
            with closing(FoundFile.at(os.fsencode(path))) as candidate:
                return is_same(self.files(), entry_of(vma), candidate)

        return self._look(partial(self._settled, partial(self._query, addr), look))

    def details(self, addr: int, *, max_hold: float = MAX_HOLD) -> "Details":
        """Return what is told of the VMA at a byte address beyond its line: see Details.

        Args:
            addr: Byte address.
            max_hold: Seconds for which a lock of the process may be held at most: what cannot be
                told within it is absent.

        Raises:
            OSError: ENOENT if nothing is mapped there; else as query().
        """
        from untorn.reader.details import details_of

        def look(vma: QueriedVma) -> "Details":
            self._check_thread()
            with half_the_time():
                return details_of(entry_of(vma), self._reach, max_hold)

        return self._look(partial(self._settled, partial(self._query, addr), look))

    def files(self) -> "MappedFiles":
        """Return what finds the files that are mapped. Raises OSError as _check_thread()."""
        from untorn.reader.files.mapped_file import MappedFiles

        self._check_thread()
        return MappedFiles(self._reach.place, self._reach.task, self._reach.proc)

    @property
    def pid(self) -> int:
        """The process."""
        return self._reach.pid

    def command(self) -> bytes:
        """Return what the kernel calls the program. Raises OSError ESRCH if it is gone.

        Not its command line, which would be read from its memory.
        """
        return Path(place_of(self._reach.pid, self._reach.proc), "comm").read_bytes()[:-1]

    def _look(self, look: Callable[[], T]) -> T:
        """Make a look within the time limit. Raises OSError as the methods above."""
        self._check_open()
        try:
            return within(
                self._timeout, partial(self._by_any_thread, look), self._path, self._close_file
            )
        except BaseException as error:
            self._closed = is_interruption(error)
            raise

    def _by_any_thread(self, look: Callable[[], T]) -> T:
        """Make a look, again by another thread if that by which the memory is reached ends."""
        for _ in range(_MOST_THREADS):
            try:
                result = look()
            except ProcessLookupError:
                if not self._change_thread():
                    break
            else:
                self._reach.bound = True
                return result
        raise no_map(self._reach.pid, self._reach.proc)

    def _check_thread(self) -> None:
        """Raise OSError ESRCH if the thread by which the memory is reached has ended.

        The ioctl goes on all the same, other files in its directory do not.
        """
        status = status_of(self._reach.place)
        if status is None or status.leaving:
            raise os_error(errno.ESRCH)

    def _change_thread(self) -> bool:
        """Open the file by another thread of the same memory; return whether there is one."""
        for _ in range(_MOST_THREADS):
            others = self._reach.others()
            if any(self._use_thread(thread, others) for thread in others):
                return True
            if not others:
                break
        return False

    def _use_thread(self, thread: Thread, others: list[Thread]) -> bool:
        try:
            file = self._open(thread.tid)
        except (FileNotFoundError, ProcessLookupError):
            return False
        with ExitStack() as unused:
            unused.callback(file.close)
            # Asked after it was opened: so that is of the memory which is in use still.
            if not (self._reach.proves(thread) or self._is_in_use(self._file)):
                return False
            unused.pop_all()
        self._close_file()
        self._opened = file
        self._reach.change(thread, others)
        return True

    def _is_in_use(self, file: LiveMapsFile) -> bool:
        """Tell whether the memory of a file is: the ioctl knows, whatever thread has ended."""
        try:
            return self._ioctl and not find_no_query(file)
        except ProcessLookupError:
            return False

    def _query(self, addr: int, flags: QueryFlags = NO_FLAGS, *, named: bool = True) -> QueriedVma:
        addr &= ULONG_MAX
        if not self._ioctl or addr >= KERNEL_HALF:
            return self._query_text(addr, flags)
        try:
            return self._file.query(addr, flags, name_size=PATH_MAX * named)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return self._query_long(addr, flags)
            if not no_query(error):
                raise
        self._ioctl = False
        return self._query_text(addr, flags)

    def _query_long(self, addr: int, flags: QueryFlags) -> QueriedVma:
        """Do it where the name is longer than the ioctl can tell: the text has it."""
        vma = self._file.query(addr, flags, name_size=0)
        line = entry_above(self._file, vma.start)
        named = vma._replace(name=line.name) if line else vma
        return named if line == entry_of(named) else self._query_text(addr, flags)

    def _query_text(self, addr: int, flags: QueryFlags) -> QueriedVma:
        from untorn.reader.query_text import as_queried, find_entry

        entry = find_entry(self._take(None), addr, flags)
        if entry is None:
            raise os_error(errno.ENOENT)
        return as_queried(entry, self.files().page_size_of(entry))

    def _take(self, previous: "Snapshot | None") -> "Snapshot":
        from untorn.reader.take import take_snapshot

        return take_snapshot(self._file, self._idleness, previous, ioctl=self._ioctl)

    def _with_build_id(self, vma: QueriedVma) -> QueriedVma:
        from untorn.reader.files.location import build_id_of

        told, absent = build_id_of(self.files(), entry_of(vma))
        return vma._replace(build_id=told, build_id_absent=absent)

    def _beside(self, vma: QueriedVma) -> list[MapsEntry]:
        """Return what is mapped of the same file."""
        snapshot = self._take(None)
        device = os.makedev(vma.dev_major, vma.dev_minor)
        rows = (snapshot.inode == vma.inode) & (snapshot.device == device)
        return [snapshot[row] for row in rows.nonzero()[0].tolist()]

    def _settled(self, ask: Callable[[], QueriedVma], look: Callable[[QueriedVma], T]) -> T:
        """Return what a look at a VMA finds while that VMA does not change."""
        before = ask()
        for _ in range(_ATTEMPTS):
            found = look(before)
            after = ask()
            if after == before:
                return found
            before = after
        raise OutOfReachError("what is mapped there changed each time that it was looked at")

    def _check_open(self) -> None:
        if self._closed:
            raise os_error(errno.EBADF)

    def _close_file(self) -> None:
        if self._opened is not None:
            self._opened.close()

    def close(self) -> None:
        """Release the file; once is enough, twice does no harm."""
        if not self._closed:
            self._close_file()
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<LiveMaps of {self._reach.pid}: {self._opened!r}>"


def _flags(step: bool, file_backed: bool, perms: str) -> QueryFlags:
    strange = set(perms) - set(_PERMS)
    if strange:
        raise ValueError(f"no permission is called {min(strange)!r}; there are r, w, x and s")
    flags = QueryFlags.COVERING_OR_NEXT_VMA * step | QueryFlags.FILE_BACKED_VMA * file_backed
    for letter in perms:
        flags |= _PERMS[letter]
    return QueryFlags(flags)
