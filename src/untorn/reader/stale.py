"""Which processes map files that were deleted or replaced, on a whole machine.

Some memory is called deleted but was never in a directory, so it does not count: that of
memfd_create(2), System V and shared anonymous memory, buffers of graphics drivers. We recognise it
by its file systems, which are mounted nowhere. Names prove nothing: a file may have any name.

Source: proc_pid_maps(5), fs/d_path.c.
"""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from untorn.errors import OutOfReachError
from untorn.maps.entry import DELETED, MapsEntry, is_deleted
from untorn.maps.fields import Device
from untorn.reader.access.limit import PROCESS_TIMEOUT, within
from untorn.reader.access.task import may_have_memory, pids_of
from untorn.reader.files.found_file import FoundFile
from untorn.reader.files.mapped_file import MappedFiles
from untorn.reader.files.mounts import memory_devices
from untorn.reader.live_maps import LiveMaps, files_of
from untorn.reader.looks import look_at
from untorn.reader.snapshot import Snapshot

_KEPT_BY_NFS = re.compile(rb"/\.nfs[0-9a-f]{24}$")
"""The name that an NFS client gives a deleted file while a process has it open."""


class Stale(NamedTuple):
    """A deleted file that a process maps."""

    pid: int
    command: bytes
    name: bytes
    """Its former name."""
    replaced: bool | None
    """Whether another file has its name now; None if that is not known."""
    code: bool
    """Whether some of it may be executed: a program or a library."""
    vmas: int
    size: int
    """Bytes mapped."""
    device: Device
    """As maps shows it."""
    inode: int


@dataclass(slots=True)
class Survey:
    """A look at all processes that have memory."""

    found: list[Stale] = field(default_factory=list)
    read: int = 0
    """How many processes were read."""
    unread: Counter[str] = field(default_factory=Counter)
    """Why others were not read, and how many."""


def stale(proc: str = "/proc", timeout: float | None = PROCESS_TIMEOUT) -> Survey:
    """Look at all processes.

    Args:
        proc: Where procfs is mounted.
        timeout: Seconds that one process may take; None for as long as the kernel takes.

    Raises:
        OSError: ENOENT if there is no procfs.
    """
    result = Survey()
    for pid in within(timeout, partial(pids_of, proc), proc):
        try:
            found = within(timeout, partial(_look, pid, proc), f"{proc}/{pid}")
        except TimeoutError:
            found = "not read in time"
        if isinstance(found, str):
            result.unread[found] += 1
        elif found is not None:
            result.read += 1
            result.found += found
    return result


def _look(pid: int, proc: str) -> list[Stale] | str | None:
    """Return the deleted files that a process maps, why they are unknown, or None: no memory."""
    try:
        return look_at(pid, _stale_of, proc=proc, timeout=None)
    except (OSError, OutOfReachError) as error:
        if isinstance(error, TimeoutError):
            raise
        if not may_have_memory(pid, proc):
            return None
        return "no right to read" if isinstance(error, PermissionError) else "changed meanwhile"


def _stale_of(maps: LiveMaps) -> list[Stale]:
    deleted = deleted_files(maps.snapshot(), maps)
    if not deleted:
        return []
    files, command = files_of(maps), maps.command()
    found = [_describe(maps.pid, command, entries, files) for entries in deleted]
    return sorted(found, key=lambda each: each.name)


def deleted_files(taken: Snapshot, maps: LiveMaps) -> list[list[MapsEntry]]:
    """Return the entries of each deleted file that a process maps.

    Args:
        taken: The map of the process.
        maps: The open maps of the same process.

    Raises:
        OSError: ESRCH if the thread through which we reach the memory has ended.
    """
    rows = _candidates(taken)
    if not rows:
        return []
    files = files_of(maps)
    return [entries for entries in _by_file(taken, rows) if _is_stale(entries[0], files)]


def _candidates(taken: Snapshot) -> list[int]:
    """Return the rows whose names say that the file was deleted."""
    names = [is_deleted(name) or bool(_KEPT_BY_NFS.search(name)) for name in taken.names]
    return [row for row, name in enumerate(taken.name.tolist()) if names[name]]


def _by_file(taken: Snapshot, rows: list[int]) -> Iterator[list[MapsEntry]]:
    """Yield the entries in these rows, grouped by file."""
    files: dict[object, list[MapsEntry]] = {}
    for entry in map(taken.columns.entry, rows):
        files.setdefault((entry.device, entry.inode, entry.name), []).append(entry)
    yield from files.values()


def _is_stale(entry: MapsEntry, files: MappedFiles) -> bool:
    """Return whether a "deleted" entry is a file that was in a directory and no longer is.

    A block device counts as mounted: it may be unmounted by now, or mounted elsewhere.
    """
    type_ = files.type_of(entry.device)
    if entry.device in memory_devices() or type_ == "devtmpfs":
        return False
    if entry.name.endswith(b"/#%d%s" % (entry.inode, DELETED)):  # from O_TMPFILE
        return False
    if type_ is None:
        return entry.device[0] != 0
    found = files.by_map_files(entry)
    if found is not None:
        with closing(found):
            if not found.is_regular:
                return False
    return not (entry.deleted and _has_its_name(entry, files))


def _has_its_name(entry: MapsEntry, files: MappedFiles) -> bool:
    """Return whether the file's real name is what maps shows, including "(deleted)"."""
    try:
        with closing(files.by_name(entry)):
            return True
    except OutOfReachError:
        return False


def _describe(pid: int, command: bytes, entries: list[MapsEntry], files: MappedFiles) -> Stale:
    first = entries[0]
    name = first.name.removesuffix(DELETED)
    return Stale(
        pid,
        command,
        name,
        _is_replaced(name, files) if first.deleted else None,
        any(entry.executable for entry in entries),
        len(entries),
        sum(entry.end - entry.start for entry in entries),
        first.device,
        first.inode,
    )


def _is_replaced(name: bytes, files: MappedFiles) -> bool | None:
    """Return whether the process would find a file of this name."""
    root, mounts = files.root_of_names
    if not mounts.way_is_local(name):
        return None
    try:
        with closing(FoundFile.under(root, name)):
            return True
    except FileNotFoundError:
        return False
    except OSError:
        return None
