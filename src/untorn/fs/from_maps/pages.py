"""Which files of a text of maps lie on hugetlbfs, as far as it tells. See address_space.py.

Every mount of hugetlbfs has a device number of its own, and pages of one size; what maps them
begins and ends with such pages, in memory and in the file. The kernel's own mounts, one for each
size, hold what MAP_HUGETLB, SHM_HUGETLB and MFD_HUGETLB ask for; only the first has a name that no
other file has, /anon_hugepage. So a device is

- of huge pages if one of its lines has that name;
- of ordinary ones if one of its lines has other borders than huge pages, if it is that of a disk,
  which has a major number, or that of shared anonymous memory;
- else it may be either: borders are no proof, and the caller has to say.
"""

from collections.abc import Mapping

from untorn.fs.from_maps.lines import NumberedLine, refusal
from untorn.fs.from_maps.names import is_never_huge
from untorn.maps.page import PAGE_SIZE, PMD_SIZE, PUD_SIZE

Device = tuple[int, int]
_ANON_HUGEPAGE = b"/anon_hugepage (deleted)"
_FIRST_DEVICE = (0, 1)
"""The first without a major number belongs to what is there before hugetlbfs: the kernel's own
tmpfs in recent releases, which memfds and System V segments lie on."""


def page_sizes(lines: list[NumberedLine], told: Mapping[tuple[int, int], int]) -> dict[Device, int]:
    """Return the bytes of the pages that files on each device have.

    Args:
        lines: Those of maps.
        told: What the caller says, by device.

    Raises:
        ValueError: What is told cannot be, or the lines leave open what is not told.
    """
    devices: dict[Device, list[NumberedLine]] = {}
    for line in lines:
        if line.entry.has_file:
            devices.setdefault(line.entry.device, []).append(line)
    for device, size in told.items():
        if size not in (PAGE_SIZE, PMD_SIZE, PUD_SIZE):
            raise ValueError(f"hugetlb: no pages of x86-64 have {size} bytes")
        if device not in devices:
            raise ValueError(f"hugetlb: no line of the maps has the device {device}")
    return {
        device: _checked(told.get(device) or _guess(those), those)
        for device, those in devices.items()
    }


def _checked(size: int, lines: list[NumberedLine]) -> int:
    """Return size, if all lines may be of such pages."""
    for line in lines:
        if size == PAGE_SIZE and line.entry.name == _ANON_HUGEPAGE:
            raise refusal(line.number, line.text, "is of huge pages, and not of 4 kB")
        if not _is_aligned(line, size):
            reason = f"is not of whole pages of {size >> 10} kB, as all of its device must be"
            raise refusal(line.number, line.text, reason)
    return size


def _guess(lines: list[NumberedLine]) -> int:
    """Return the size of the pages on the device of these lines, if they tell."""
    huge = any(line.entry.name == _ANON_HUGEPAGE for line in lines)
    gigantic = all(_is_aligned(line, PUD_SIZE) for line in lines)
    if huge and not gigantic:
        return PMD_SIZE
    if not huge and not _may_be_huge(lines):
        return PAGE_SIZE
    number, text, entry = lines[0]
    sizes = "1 << 30" if huge else "1 << 30, or 4096 if it is not"
    reason = "may be of pages of 2 MB or of 1 GB" if huge else "may lie on hugetlbfs"
    how = f"say so with hugetlb={{{entry.device}: 2 << 20}}"
    raise refusal(number, text, f"{reason}: {how}, or {sizes}")


def _may_be_huge(lines: list[NumberedLine]) -> bool:
    device = lines[0].entry.device
    if device[0] or device == _FIRST_DEVICE:
        return False
    return not any(is_never_huge(line.entry) or not _is_aligned(line, PMD_SIZE) for line in lines)


def _is_aligned(line: NumberedLine, size: int) -> bool:
    entry = line.entry
    return not any(number % size for number in (entry.start, entry.end, entry.offset))
