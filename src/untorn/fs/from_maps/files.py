"""Find the open files behind the lines of maps, as far as the lines tell. See address_space.py.

The name in a line tells whether a driver decides about the mapping. The device may tell whether its
files are on hugetlbfs.

Every mount of hugetlbfs has its own device number and one page size, and its mappings are aligned
to that size in memory and in the file. The kernel has an internal mount for each size, which holds
the files of MAP_HUGETLB, SHM_HUGETLB and MFD_HUGETLB. Only those of MAP_HUGETLB have a name that no
other file has, /anon_hugepage. So a device has

- huge pages if one of its lines has that name;
- ordinary pages if one of its lines is not aligned for huge pages, if it is a disk, which has a
  major number, or if it is the device of shared anonymous memory;
- otherwise either: alignment alone is no proof, so the caller has to say.
"""

import re
from collections.abc import Mapping

from untorn.fs.from_maps.lines import NumberedLine, refusal
from untorn.maps.entry import MapsEntry
from untorn.maps.fields import Device
from untorn.maps.page import PAGE_SIZE, PMD_SIZE, PUD_SIZE
from untorn.mm.calls.shm import SHM_OPS
from untorn.mm.file import VmFile, VmOperations
from untorn.mm.filemap import AddressSpace
from untorn.mm.hugetlb import HugeInode, HugePool
from untorn.mm.vmas.driver import DAX_OPS, DRIVER_OPS

_SYSV = re.compile(rb"/SYSV[0-9a-f]{8} \(deleted\)")
_MEMFD = b"/memfd:"
_SHMEM_NAME = b"/dev/zero (deleted)"
"""The name of shared anonymous memory."""
_ANON_SHMEM = b"[anon_shmem:"
"""How its name begins if prctl(2) has set one."""
_ZERO_NAME = b"/dev/zero"
_FILES_IN_DEV = re.compile(rb"/dev/(shm/|huge).*|/dev/zero( \(deleted\))?", re.DOTALL)
"""Paths below /dev that are not devices with a driver of their own."""
_OF_DRIVERS = (
    *(b"/dev/", b"/sys/", b"/proc/"),  # devices, or files that the kernel generates
    *(b"/dmabuf:", b"/drm mm object", b"/i915"),  # buffers of devices
    *(b"/[aio]", b"/secretmem"),  # a ring of asynchronous I/O, memory of memfd_secret
)
"""How the paths of files begin that are not plain files."""
_DAX = b"/dev/dax"
_ANON_HUGEPAGE = b"/anon_hugepage (deleted)"
_FIRST_DEVICE = (0, 1)
"""The first device without a major number is mounted before hugetlbfs. In recent releases it is the
kernel's internal tmpfs, which holds memfds and System V segments."""


class FilesOfMaps:
    """The open files of the lines so far.

    A line has the same open file as the line before it if it begins where that one ends and is
    further on in the same inode. That is so for the segments of a library, which were mapped from
    one open(). Unnamed shared memory always has only one open file.
    """

    __slots__ = ("_huge_pools", "_last", "_page_sizes", "_shmem")

    def __init__(
        self,
        lines: list[NumberedLine],
        hugetlb: Mapping[tuple[int, int], int],
        huge_pools: Mapping[int, HugePool],
    ) -> None:
        """Look at all lines. Arguments and errors are those of mm_from_maps()."""
        self._huge_pools = huge_pools
        self._last: tuple[MapsEntry, VmFile] | None = None
        self._shmem: dict[int, VmFile] = {}
        self._page_sizes = _find_page_sizes(lines, hugetlb)

    def of(self, entry: MapsEntry) -> VmFile:
        """Return the open file of an entry that has a file."""
        file = self._known(entry) or self._open(entry)
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

    def _open(self, entry: MapsEntry) -> VmFile:
        page_size = self._page_sizes[entry.device]
        file = _open(entry, page_size)
        if page_size != PAGE_SIZE:
            file.huge = HugeInode(self._huge_pools[page_size])
        return file


def _is_shmem(entry: MapsEntry) -> bool:
    return entry.shared and (entry.name == _SHMEM_NAME or entry.name.startswith(_ANON_SHMEM))


def _open(entry: MapsEntry, page_size: int) -> VmFile:
    path = _SHMEM_NAME if entry.name.startswith(_ANON_SHMEM) else entry.name
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
        is_zero=path == _ZERO_NAME,
        is_anon_shmem=_is_shmem(entry),
        vm_ops=_operations(entry, page_size),
        mapping=AddressSpace(shmem=in_memory),
    )


def _operations(entry: MapsEntry, page_size: int) -> VmOperations | None:
    if _SYSV.fullmatch(entry.name):
        return SHM_OPS
    if page_size != PAGE_SIZE or not _is_of_driver(entry):
        return None
    return DAX_OPS if _may_be_huge_dax(entry) else DRIVER_OPS


def _is_of_driver(entry: MapsEntry) -> bool:
    """Return whether an entry maps a file with a driver, not a plain file.

    A file without a path is a socket or an anonymous inode, such as that of a ring.
    """
    return entry.has_file and not entry.name.startswith(_ANON_SHMEM) and is_of_driver(entry.name)


def is_of_driver(path: bytes) -> bool:
    """Return whether a path, from maps or a descriptor, is that of a file with a driver."""
    if _FILES_IN_DEV.fullmatch(path):
        return False
    return path.startswith(_OF_DRIVERS) or not path.startswith(b"/")


def _may_be_huge_dax(entry: MapsEntry) -> bool:
    """Return whether an entry may map pages of 2 MB or more of device DAX, by its alignment.

    Source: drivers/dax/device.c:check_vma().
    """
    return entry.name.startswith(_DAX) and not (entry.start | entry.end) % PMD_SIZE


def _is_never_huge(entry: MapsEntry) -> bool:
    """Return whether a file of that name is never on hugetlbfs."""
    name = entry.name
    if name in (_SHMEM_NAME, _ZERO_NAME) or name.startswith(_ANON_SHMEM):
        return True
    return _is_of_driver(entry)


def _find_page_sizes(
    lines: list[NumberedLine], given: Mapping[tuple[int, int], int]
) -> dict[Device, int]:
    """Return the page size in bytes of the files on each device.

    Args:
        lines: The lines of maps.
        given: The page sizes that the caller knows, by device.

    Raises:
        ValueError: A size in given is impossible, or neither given nor the lines give a size.
    """
    devices: dict[Device, list[NumberedLine]] = {}
    for line in lines:
        if line.entry.has_file:
            devices.setdefault(line.entry.device, []).append(line)
    for device, size in given.items():
        if size not in (PAGE_SIZE, PMD_SIZE, PUD_SIZE):
            raise ValueError(f"hugetlb: no pages of x86-64 have {size} bytes")
        if device not in devices:
            raise ValueError(f"hugetlb: no line of the maps has the device {device}")
    return {
        device: _checked(given.get(device) or _guess(those), those)
        for device, those in devices.items()
    }


def _checked(size: int, lines: list[NumberedLine]) -> int:
    """Return size if all lines may have such pages."""
    for line in lines:
        if size == PAGE_SIZE and line.entry.name == _ANON_HUGEPAGE:
            raise refusal(line.number, line.text, "has huge pages, and not pages of 4 kB")
        if not _is_aligned(line, size):
            kb = size >> 10
            reason = f"is not aligned to pages of {kb} kB, as all lines of its device must be"
            raise refusal(line.number, line.text, reason)
    return size


def _guess(lines: list[NumberedLine]) -> int:
    """Return the page size of the device of these lines if they tell it."""
    huge = any(line.entry.name == _ANON_HUGEPAGE for line in lines)
    gigantic = all(_is_aligned(line, PUD_SIZE) for line in lines)
    if huge and not gigantic:
        return PMD_SIZE
    if not huge and not _may_be_huge(lines):
        return PAGE_SIZE
    number, text, entry = lines[0]
    sizes = "1 << 30" if huge else "1 << 30, or 4096 if it is not"
    reason = "may have pages of 2 MB or of 1 GB" if huge else "may be on hugetlbfs"
    how = f"say so with hugetlb={{{tuple(entry.device)}: 2 << 20}}"
    raise refusal(number, text, f"{reason}: {how}, or {sizes}")


def _may_be_huge(lines: list[NumberedLine]) -> bool:
    device = lines[0].entry.device
    if device[0] or device == _FIRST_DEVICE:
        return False
    return not any(_is_never_huge(line.entry) or not _is_aligned(line, PMD_SIZE) for line in lines)


def _is_aligned(line: NumberedLine, size: int) -> bool:
    entry = line.entry
    return not any(number % size for number in (entry.start, entry.end, entry.offset))
