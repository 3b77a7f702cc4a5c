"""The open files behind the lines of maps, as far as the lines tell. See from_maps.py."""

import re

from untorn.fs.proc.maps_entry import MapsEntry
from untorn.mm.file import VmFile
from untorn.mm.filemap import AddressSpace
from untorn.mm.shm import SHM_OPS

_SHMEM = b"/dev/zero (deleted)"
_SYSV = re.compile(rb"/SYSV[0-9a-f]{8} \(deleted\)")
_MEMFD = b"/memfd:"


class FilesOfMaps:
    """The open files behind the lines so far.

    One line continues the file of another if it begins where that ends, further on in the same
    inode: so the segments of one library do, which one open() was for. Shared memory without a
    name has only one open file.
    """

    __slots__ = ("_last", "_shmem")

    def __init__(self) -> None:
        self._last: tuple[MapsEntry, VmFile] | None = None
        self._shmem: dict[int, VmFile] = {}

    def of(self, entry: MapsEntry) -> VmFile:
        """Return the open file of an entry that has one."""
        file = self._known(entry) or _open(entry)
        self._last = entry, file
        if _is_shmem(entry):
            self._shmem[entry.inode] = file
        return file

    def _known(self, entry: MapsEntry) -> VmFile | None:
        if _is_shmem(entry):
            return self._shmem.get(entry.inode)
        if self._last is None:
            return None
        last, file = self._last
        continues = (
            (last.end, last.name, last.device, last.inode, last.shared)
            == (entry.start, entry.name, entry.device, entry.inode, entry.shared)
        ) and last.offset <= entry.offset
        return file if continues else None


def _is_shmem(entry: MapsEntry) -> bool:
    return entry.shared and (entry.name == _SHMEM or entry.name.startswith(b"[anon_shmem:"))


def _open(entry: MapsEntry) -> VmFile:
    path = _SHMEM if entry.name.startswith(b"[anon_shmem:") else entry.name
    sysv = _SYSV.fullmatch(path) is not None
    return VmFile(
        path,
        *entry.device,
        entry.inode,
        is_anon_shmem=_is_shmem(entry),
        vm_ops=SHM_OPS if sysv else None,
        mapping=AddressSpace(shmem=sysv or _is_shmem(entry) or path.startswith(_MEMFD)),
    )
