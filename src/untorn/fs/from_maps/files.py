"""The open files behind the lines of maps, as far as the lines tell. See address_space.py."""

import re
from collections.abc import Mapping

from untorn.fs.from_maps.lines import NumberedLine
from untorn.fs.from_maps.names import (
    ANON_SHMEM,
    SHMEM_NAME,
    ZERO_NAME,
    is_of_driver,
    may_be_huge_dax,
)
from untorn.fs.from_maps.pages import page_sizes
from untorn.maps.entry import MapsEntry
from untorn.maps.page import PAGE_SIZE
from untorn.mm.calls.shm import SHM_OPS
from untorn.mm.file import VmFile, VmOperations
from untorn.mm.filemap import AddressSpace
from untorn.mm.vmas.driver import DAX_OPS, DRIVER_OPS

_SYSV = re.compile(rb"/SYSV[0-9a-f]{8} \(deleted\)")
_MEMFD = b"/memfd:"


class FilesOfMaps:
    """The open files behind the lines so far.

    One line continues the file of another if it begins where that ends, further on in the same
    inode: so the segments of one library do, which one open() was for. Shared memory without a
    name has only one open file.
    """

    __slots__ = ("_last", "_page_sizes", "_shmem")

    def __init__(self, lines: list[NumberedLine], hugetlb: Mapping[tuple[int, int], int]) -> None:
        """Look at all lines; arguments and errors are those of mm_from_maps()."""
        self._last: tuple[MapsEntry, VmFile] | None = None
        self._shmem: dict[int, VmFile] = {}
        self._page_sizes = page_sizes(lines, hugetlb)

    def of(self, entry: MapsEntry) -> VmFile:
        """Return the open file of an entry that has one."""
        file = self._known(entry) or _open(entry, self._page_sizes[entry.device])
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
    return entry.shared and (entry.name == SHMEM_NAME or entry.name.startswith(ANON_SHMEM))


def _open(entry: MapsEntry, page_size: int) -> VmFile:
    path = SHMEM_NAME if entry.name.startswith(ANON_SHMEM) else entry.name
    in_memory = (
        _SYSV.fullmatch(path) is not None
        or _is_shmem(entry)
        or path.startswith(_MEMFD)
        or page_size != PAGE_SIZE
    )
    return VmFile(
        path,
        entry.device,
        entry.inode,
        is_zero=path == ZERO_NAME,
        is_anon_shmem=_is_shmem(entry),
        kernel_page_size=page_size,
        vm_ops=_operations(entry, page_size),
        mapping=AddressSpace(shmem=in_memory),
    )


def _operations(entry: MapsEntry, page_size: int) -> VmOperations | None:
    if _SYSV.fullmatch(entry.name):
        return SHM_OPS
    if page_size != PAGE_SIZE or not is_of_driver(entry):
        return None
    return DAX_OPS if may_be_huge_dax(entry) else DRIVER_OPS
