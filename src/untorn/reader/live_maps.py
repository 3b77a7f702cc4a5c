"""The open maps of a process: text, queries, snapshots, and places in files."""

import errno
import os
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from untorn.errors import OutOfReachError, os_error
from untorn.maps.entry import MapsEntry
from untorn.maps.maps_file import MapsFile, query_refusal
from untorn.maps.page import KERNEL_HALF, ULONG_MAX
from untorn.maps.procmap_query import PATH_MAX, VALID_FLAGS, ProcmapQuery, QueriedVma
from untorn.reader.access.budget import Budget
from untorn.reader.access.idleness import find_idleness
from untorn.reader.access.limit import (
    MAX_HOLD,
    TIMEOUT,
    check_limits,
    half_the_time,
    is_interruption,
    within,
)
from untorn.reader.access.live_maps_file import LiveMapsFile
from untorn.reader.access.reach import Reach, ReachedMaps
from untorn.reader.access.task import place_of, status_of
from untorn.reader.lookup import entry_above

if TYPE_CHECKING:
    from untorn.reader.details import Details
    from untorn.reader.files.location import Location
    from untorn.reader.files.mapped_file import MappedFiles
    from untorn.reader.memory.memory import Memory
    from untorn.reader.snapshot import Snapshot

T = TypeVar("T")
_ATTEMPTS = 3
"""How often to look at what may change between two system calls."""


class LiveMaps(MapsFile):
    """The open maps of a real process.

    They belong to one memory: if the process ends or changes its program, they end, and never show
    the memory of a later process with its PID. If its main thread has ended, they are read through
    a living one. Only one thread at a time may use them.

    Args:
        pid: The process, or a thread of it.
        proc: Where procfs is mounted; pid is its number there.
        gentle: Whether to read at a raised priority and an even pace; None does so if this kernel
            takes mmap_lock to show a map. See reader/access/gentle.py.
        ioctl: False to do without PROCMAP_QUERY, as on kernels before 6.11.
        timeout: Seconds that each look may take (query, snapshot, locate, is_file, details). A look
            that is late raises TimeoutError, and the maps are then closed. None for as long as the
            kernel takes, which saves the 0.1 ms that a thread costs each look. read() and seek()
            have no limit.
        budget: The budget to charge for calls that hold a lock of the process; None for no bound.

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
        budget: Budget | None = None,
    ) -> None:
        self._reach, self._ioctl, self._gentle = Reach(pid, proc), ioctl, gentle
        self._maps = ReachedMaps(self._reach, gentle, ioctl=ioctl, budget=budget)
        self._budget = budget
        self._timeout, self._path = timeout, f"{proc}/{pid}/maps"
        self._closed = False
        within(timeout, self._begin, self._path, self._maps.close)

    def _begin(self) -> None:
        self._maps.open()
        self._idleness = find_idleness(self._reach.pid, self._reach.proc)

    @property
    def _file(self) -> LiveMapsFile:
        return self._maps.file

    def read(self, size: int) -> bytes:
        """Return the bytes of one system call: see MapsFile."""
        self._check_open()
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a byte offset from the start (0) or from here (1): see MapsFile."""
        self._check_open()
        return self._file.seek(offset, whence)

    def procmap_query(self, question: ProcmapQuery) -> QueriedVma:
        """Answer a PROCMAP_QUERY: see MapsFile.

        It uses the ioctl, or if there is none the text: that takes as long as a snapshot, moves the
        file, and cannot tell a newline in a name from the four characters that stand for it.
        [vsyscall] is found from addresses in the kernel's half. A name may have any length. A build
        id is read from the file, and only from a regular one: see location.py.

        Raises:
            OSError: ENOENT if none matches; EINVAL for an unknown flag; ESRCH if the process has no
                memory, with the reason; ETIMEDOUT if it takes longer than it may.
        """
        if question.query_flags & ~VALID_FLAGS:
            raise os_error(errno.EINVAL)
        named, with_id = question.vma_name_size > 0, question.build_id_size > 0
        asked = question._replace(vma_name_size=PATH_MAX * (named or with_id), build_id_size=0)
        ask = partial(self._ask, asked)
        look = partial(self._settled, ask, self._with_build_id) if with_id else ask
        found = self._look(look)
        return found if named else found._replace(entry=found.entry._replace(name=b""))

    def snapshot(self, previous: "Snapshot | None" = None) -> "Snapshot":
        """Read the whole map: take.py says what is checked. Moves the file.

        Args:
            previous: An older snapshot of this process, to reuse what did not change.

        Raises:
            OSError: ESRCH, with the reason, if the process has no memory, or loses it meanwhile;
                ETIMEDOUT if it takes longer than it may.
        """
        return self._look(partial(self._take, previous))

    def locate(self, addr: int, *, build_id: bool = False) -> "Location":
        """Return where a byte address lies in the file that is mapped there: see Location.

        Args:
            addr: Byte address.
            build_id: Whether to return the build id of the file, too.

        Raises:
            OSError: ENOENT if nothing is mapped there; else as query().
        """
        from untorn.reader.files.location import locate

        def look(vma: QueriedVma) -> "Location":
            beside = partial(self._beside, vma)
            return locate(files_of(self), vma, addr, beside, build_id=build_id)

        return self._look(partial(self._settled, partial(self._query, addr), look))

    def is_file(self, addr: int, path: str | bytes | os.PathLike[str]) -> bool:
        """Return whether the file at a path is the one that is mapped at a byte address.

        This is right on btrfs and overlayfs, too, and for any name of the file: see same_file.py.

        Raises:
            OSError: ENOENT if nothing is mapped there, or no file is at that path; else as query().
            OutOfReachError: This cannot be found out here.
        """
        from untorn.reader.files.found_file import FoundFile
        from untorn.reader.files.same_file import is_same

        def look(vma: QueriedVma) -> bool:
            with closing(FoundFile.at(os.fsencode(path))) as candidate:
                return is_same(files_of(self), vma.entry, candidate)

        return self._look(partial(self._settled, partial(self._query, addr), look))

    def details(self, addr: int, *, max_hold: float = MAX_HOLD) -> "Details":
        """Return the details of the VMA at a byte address beyond its line: see Details.

        Args:
            addr: Byte address.
            max_hold: Seconds that a lock of the process may be held: what cannot be read within it
                is absent.

        Raises:
            OSError: ENOENT if nothing is mapped there; else as query().
        """
        from untorn.reader.details import details_of

        def look(vma: QueriedVma) -> "Details":
            self._maps.check_thread()
            with half_the_time():
                return details_of(vma.entry, self._reach, max_hold)

        return self._look(partial(self._settled, partial(self._query, addr), look))

    def memory(
        self, *, max_hold: float = MAX_HOLD, within: float | None = None, counted: bool = False
    ) -> "Memory":
        """Return what the process has in memory, VMA by VMA. Moves the file.

        Args:
            max_hold: Seconds that one call may hold a lock of the process: smaps is read if its
                calls take less; otherwise pages are counted slice by slice, which takes longer but
                holds the lock for some microseconds at a time.
            within: Seconds after which an estimate will do; None for the exact numbers. See Memory.
            counted: Count pages even if smaps is quick, and show VMAs as they were first found:
                then a VMA that changes all the time has numbers, too. If a VMA is replaced
                meanwhile, they may be the numbers of the new one.

        Raises:
            OSError: As snapshot().
            ValueError: A time is not above 0.
        """
        from untorn.reader.memory.measure import Look, Options

        check_limits(max_hold, within)
        gentle = self._gentle is not False
        options = Options(max_hold, within, gentle=gentle, budget=self._budget, counted=counted)

        def look() -> "Memory":
            try:
                return Look(self._reach, self._take, options).make()
            except FileNotFoundError:
                self._maps.check_thread()  # that may be the reason
                raise

        return self._look(look)

    @property
    def pid(self) -> int:
        """The PID."""
        return self._reach.pid

    def command(self) -> bytes:
        """Return the kernel's name of the program. Raises OSError ESRCH if it is gone."""
        status = status_of(place_of(self._reach.pid, self._reach.proc))
        if status is None:
            raise os_error(errno.ESRCH)
        return status.command

    def _look(self, look: Callable[[], T]) -> T:
        """Make a look within the time limit. Raises OSError as the methods above."""
        self._check_open()
        try:
            return within(
                self._timeout, partial(self._maps.by_any_thread, look), self._path, self._maps.close
            )
        except BaseException as error:
            self._closed = is_interruption(error)
            raise

    def _query(self, addr: int) -> QueriedVma:
        return self._ask(ProcmapQuery(query_addr=addr & ULONG_MAX, vma_name_size=PATH_MAX))

    def _ask(self, question: ProcmapQuery) -> QueriedVma:
        """Ask the kernel, or the text if the kernel cannot answer."""
        if not self._ioctl or question.query_addr >= KERNEL_HALF:
            return self._ask_text(question)
        try:
            return self._file.procmap_query(question)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return self._ask_long(question)
            if not query_refusal(error):
                raise
        self._ioctl = False
        return self._ask_text(question)

    def _ask_long(self, question: ProcmapQuery) -> QueriedVma:
        """Answer a question whose name is too long for the ioctl: the text has it."""
        vma = self._file.procmap_query(question._replace(vma_name_size=0))
        line = entry_above(self._file, vma.entry.start)
        if line and line == vma.entry._replace(name=line.name):
            return vma._replace(entry=line)
        return self._ask_text(question)

    def _ask_text(self, question: ProcmapQuery) -> QueriedVma:
        entry = self._take(None).query(question)
        if entry is None:
            raise os_error(errno.ENOENT)
        return QueriedVma(entry, files_of(self).page_size_of(entry))

    def _take(self, previous: "Snapshot | None") -> "Snapshot":
        from untorn.reader.take import take_snapshot

        return take_snapshot(self._file, self._idleness, previous, ioctl=self._ioctl)

    def _with_build_id(self, vma: QueriedVma) -> QueriedVma:
        from untorn.reader.files.location import build_id_of

        told, absent = build_id_of(files_of(self), vma.entry)
        return vma._replace(build_id=told, build_id_absent=absent)

    def _beside(self, vma: QueriedVma) -> list[MapsEntry]:
        """Return what else is mapped of the same file."""
        snapshot = self._take(None)
        entry = vma.entry
        rows = (snapshot.inode == entry.inode) & (snapshot.device == entry.device.st_dev)
        return [snapshot[row] for row in rows.nonzero()[0].tolist()]

    def _settled(self, ask: Callable[[], QueriedVma], look: Callable[[QueriedVma], T]) -> T:
        """Return the result of a look at a VMA during which the VMA did not change."""
        before = ask()
        for _ in range(_ATTEMPTS):
            found = look(before)
            after = ask()
            if after == before:
                return found
            before = after
        raise OutOfReachError("what is mapped there changed each time we looked")

    def _check_open(self) -> None:
        if self._closed:
            raise os_error(errno.EBADF)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if not self._closed:
            self._maps.close()
        self._closed = True

    def __repr__(self) -> str:
        return f"<LiveMaps of {self._reach.pid}: {self._maps!r}>"


def files_of(maps: LiveMaps) -> "MappedFiles":
    """Return an object that finds the mapped files.

    Raises:
        OSError: ESRCH if the thread through which we reach the memory has ended.
    """
    from untorn.reader.files.mapped_file import MappedFiles

    maps._maps.check_thread()
    return MappedFiles(maps._reach.place, maps._reach.task, maps._reach.proc)
