"""The size of the pages behind a VMA, where the ioctl does not tell it."""

import os
from pathlib import Path

from untorn.fs.proc.maps_entry import MapsEntry
from untorn.live.maps_file import LiveMapsFile
from untorn.live.reader.fills import FILL_SIZE

_HUGE_PAGES = Path("/sys/kernel/mm/hugepages")


def page_size_of(entry: MapsEntry, pid: int, proc: str) -> int:
    """Return it in bytes.

    Only a file can have other pages than the usual ones, and only at addresses that are multiples
    of their size. Then smaps is asked, which is slow, and takes mmap_lock.

    Raises:
        OSError: smaps cannot be read.
    """
    usual = os.sysconf("SC_PAGE_SIZE")
    sizes = [int(path.name[len("hugepages-") : -len("kB")]) << 10 for path in _HUGE_PAGES.glob("*")]
    if not (entry.has_file and any((entry.start | entry.end) % size == 0 for size in sizes)):
        return usual
    with LiveMapsFile(pid, "smaps", proc) as file:
        return _from_smaps(file, b"%08x-%08x " % (entry.start, entry.end)) or usual


def _from_smaps(file: LiveMapsFile, header: bytes) -> int | None:
    """Return the size in the record that begins so; None if there is none."""
    while fill := file.read(FILL_SIZE):
        _, found, record = (b"\n" + fill).partition(b"\n" + header)
        if found:
            return int(record.partition(b"KernelPageSize:")[2].split(maxsplit=1)[0]) << 10
    return None
