"""The open files behind the lines of maps, as far as the lines tell. See from_maps.py."""

import re
from collections.abc import Mapping

from untorn.fs.proc.from_maps_lines import NumberedLine, refusal
from untorn.fs.proc.from_maps_names import (
    ANON_SHMEM,
    SHMEM_NAME,
    ZERO_NAME,
    other_than_a_file,
)
from untorn.fs.proc.from_maps_pages import page_sizes
from untorn.fs.proc.maps_entry import MapsEntry
from untorn.mm.file import VmFile
from untorn.mm.filemap import AddressSpace
from untorn.mm.page import PAGE_SIZE
from untorn.mm.shm import SHM_OPS

_SYSV = re.compile(rb"/SYSV[0-9a-f]{8} \(deleted\)")
_MEMFD = b"/memfd:"


class FilesOfMaps:
    """The open files behind the lines so far.

    One line continues the file of another if it begins where that ends, further on in the same
    inode: so the segments of one library do, which one open() was for. Shared memory without a
    name has only one open file.
    """

    __slots__ = ("_last", "_page_sizes", "_shmem")

    def __init__(
        self,
        lines: list[NumberedLine],
        hugetlb: Mapping[tuple[int, int], int],
        *,
        devices_as_files: bool,
    ) -> None:
        """Look at all lines; arguments and errors are those of mm_from_maps()."""
        self._last: tuple[MapsEntry, VmFile] | None = None
        self._shmem: dict[int, VmFile] = {}
        if not devices_as_files:
            for line in lines:
                _refuse_others(line, hugetlb)
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


def _refuse_others(line: NumberedLine, hugetlb: Mapping[tuple[int, int], int]) -> None:
    """Refuse what is mapped of something that is no plain file, by its name."""
    what = other_than_a_file(line.entry)
    if what is not None and hugetlb.get(line.entry.device, PAGE_SIZE) == PAGE_SIZE:
        reason = (
            f"maps {what}, and what may be done with that is not modelled:"
            " take it for a plain file with devices_as_files=True"
        )
        raise refusal(line.number, line.text, reason)


def _is_shmem(entry: MapsEntry) -> bool:
    return entry.shared and (entry.name == SHMEM_NAME or entry.name.startswith(ANON_SHMEM))


def _open(entry: MapsEntry, page_size: int) -> VmFile:
    path = SHMEM_NAME if entry.name.startswith(ANON_SHMEM) else entry.name
    sysv = _SYSV.fullmatch(path) is not None
    in_memory = sysv or _is_shmem(entry) or path.startswith(_MEMFD) or page_size != PAGE_SIZE
    return VmFile(
        path,
        *entry.device,
        entry.inode,
        is_zero=path == ZERO_NAME,
        is_anon_shmem=_is_shmem(entry),
        kernel_page_size=page_size,
        vm_ops=SHM_OPS if sysv else None,
        mapping=AddressSpace(shmem=in_memory),
    )
