"""The open maps of a process: text, queries and snapshots, whatever the kernel has."""

import errno
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from untorn.errors import os_error
from untorn.fs.maps_file import BUILD_ID_SIZE_MAX, PATH_MAX
from untorn.fs.proc.procmap_query import QueriedVma, QueryFlags
from untorn.live.gentle import open_maps_file
from untorn.live.maps_file import NO_IOCTL
from untorn.live.reader.idleness import find_idleness
from untorn.live.reader.process import no_map

if TYPE_CHECKING:
    from untorn.live.reader.snapshot import Snapshot

_PERMS = {
    "r": QueryFlags.VMA_READABLE,
    "w": QueryFlags.VMA_WRITABLE,
    "x": QueryFlags.VMA_EXECUTABLE,
    "s": QueryFlags.VMA_SHARED,
}


class LiveMaps:
    """The open maps of a real process.

    They are those of one memory: if the process ends or changes its program, they end, and never
    show that of another one which got the same number. To be used by one thread at a time.

    Args:
        pid: The process, or a thread of it.
        proc: Where procfs is mounted; pid is its number there.
        gentle: Whether to read at a raised priority and an even pace; None does so where this
            kernel takes mmap_lock to show a map. See live/gentle.py.
        ioctl: False to do without PROCMAP_QUERY, as where the kernel has none (before 6.11).

    Raises:
        OSError: ENOENT if there is no such process, EACCES or EPERM if its map may not be read.
    """

    def __init__(
        self, pid: int, *, proc: str = "/proc", gentle: bool | None = None, ioctl: bool = True
    ) -> None:
        self._pid, self._proc, self._ioctl = pid, proc, ioctl
        self._file = open_maps_file(pid, proc=proc, gentle=gentle)
        self._idleness = find_idleness(pid, proc)

    def read(self, size: int) -> bytes:
        """Return the bytes of one system call: see MapsFile."""
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a byte offset from the start (0) or from here (1): see MapsFile."""
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

        Args:
            addr: Byte address, not necessarily aligned.
            next: If none is there that matches, take the next one above that does.
            file_backed: It must map a file.
            perms: Letters of "rwxs": it must have all of these permissions.
            name: Tell its name.
            build_id: Tell the build id of its file, if that is an ELF file.

        Raises:
            OSError: ENOENT if none matches; ESRCH if the process has no memory, with the reason;
                without the ioctl, for a build id, also whatever stands in the way of its file.
            ValueError: perms has another letter.
        """
        flags = _flags(next, file_backed, perms)
        sizes = PATH_MAX * name, BUILD_ID_SIZE_MAX * build_id
        try:
            if self._ioctl:
                return self._query_file(addr, flags, *sizes)
            return self._query_text(addr, flags, *sizes)
        except ProcessLookupError:
            raise no_map(self._pid, self._proc) from None

    def _query_file(self, addr: int, flags: QueryFlags, name: int, build_id: int) -> QueriedVma:
        try:
            return self._file.query(addr, flags, name_size=name, build_id_size=build_id)
        except OSError as error:
            if error.errno not in NO_IOCTL:
                raise
        self._ioctl = False
        return self._query_text(addr, flags, name, build_id)

    def _query_text(self, addr: int, flags: QueryFlags, name: int, build_id: int) -> QueriedVma:
        from untorn.live.reader.query_text import as_queried, find_entry

        entry = find_entry(self._take(None), addr, flags)
        if entry is None:
            raise os_error(errno.ENOENT)
        found = as_queried(entry, self._pid, self._proc, build_id=bool(build_id))
        return found if name else found._replace(name=b"")

    def snapshot(self, previous: "Snapshot | None" = None) -> "Snapshot":
        """Read the whole map: see take.py for what is checked. Moves the file.

        Args:
            previous: An older snapshot of this process: what did not change is taken from it.

        Raises:
            OSError: ESRCH, with the reason, if the process has no memory, or loses it meanwhile.
        """
        try:
            return self._take(previous)
        except ProcessLookupError:
            raise no_map(self._pid, self._proc) from None

    def _take(self, previous: "Snapshot | None") -> "Snapshot":
        from untorn.live.reader.take import take_snapshot

        return take_snapshot(self._file, self._idleness, previous, ioctl=self._ioctl)

    def close(self) -> None:
        """Release the file; once is enough, twice does no harm."""
        self._file.close()

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
        return f"<LiveMaps of {self._pid}: {self._file!r}>"


def open_maps(
    pid: int, *, proc: str = "/proc", gentle: bool | None = None, ioctl: bool = True
) -> LiveMaps:
    """Open the maps of a process: see LiveMaps for arguments and errors."""
    return LiveMaps(pid, proc=proc, gentle=gentle, ioctl=ioctl)


_ATTEMPTS = 3


def snapshot(
    pid: int,
    *,
    proc: str = "/proc",
    gentle: bool | None = None,
    previous: "Snapshot | None" = None,
) -> "Snapshot":
    """Return the whole map of a process as it is now.

    If the process changes its program meanwhile, the new one is read.

    Args:
        pid: The process, or a thread of it.
        proc: Where procfs is mounted; pid is its number there.
        gentle: As for LiveMaps.
        previous: An older snapshot of this process: what did not change is taken from it.

    Raises:
        OSError: ENOENT if there is no such process, EACCES or EPERM if its map may not be read;
            ESRCH, with the reason, if it has no memory: a zombie, a kernel thread, or it ended
            while it was read.
    """
    for _ in range(_ATTEMPTS - 1):
        with LiveMaps(pid, proc=proc, gentle=gentle) as maps, suppress(ProcessLookupError):
            return maps.snapshot(previous)
    with LiveMaps(pid, proc=proc, gentle=gentle) as maps:
        return maps.snapshot(previous)


def _flags(step: bool, file_backed: bool, perms: str) -> QueryFlags:
    strange = set(perms) - set(_PERMS)
    if strange:
        raise ValueError(f"no permission is called {min(strange)!r}; there are r, w, x and s")
    flags = QueryFlags.COVERING_OR_NEXT_VMA * step | QueryFlags.FILE_BACKED_VMA * file_backed
    for letter in perms:
        flags |= _PERMS[letter]
    return QueryFlags(flags)
