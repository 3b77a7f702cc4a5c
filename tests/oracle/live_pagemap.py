"""pagemap, kpagecount and kpageflags of the running kernel, and what of them can be compared.

The engine numbers its frames as it likes, and so does the kernel: compared is which pages have the
same one, how often it is mapped, and what it is.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl

from untorn.engine import KPAGECOUNT, KPAGEFLAGS
from untorn.maps.page import PAGE_SIZE
from untorn.maps.pagemap import (
    ENTRY_SIZE,
    KPF_ANON,
    KPF_DIRTY,
    KPF_MMAP,
    KPF_SWAPBACKED,
    KPF_ZERO_PAGE,
    PAGEMAP_SCAN,
    PM_FILE,
    PM_GUARD_REGION,
    PM_MMAP_EXCLUSIVE,
    PM_PFRAME_MASK,
    PM_PRESENT,
    PM_SWAP,
    REGION_SIZE,
    EntryFile,
    PagemapFile,
    PageRegion,
    PageScan,
    PmScanArg,
)

FLAGS = PM_PRESENT | PM_SWAP | PM_FILE | PM_GUARD_REGION | PM_MMAP_EXCLUSIVE
KNOWN_KPF = KPF_ANON | KPF_DIRTY | KPF_MMAP | KPF_SWAPBACKED | KPF_ZERO_PAGE


class LiveEntries:
    """A file of entries."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read_at(self, offset: int, size: int) -> bytes:
        return os.pread(self._fd, size, offset)

    def scan(self, question: PmScanArg) -> PageScan:
        buffer = ctypes.create_string_buffer(max(question.vec_len, 1) * REGION_SIZE)
        arg = bytearray(question._replace(vec=ctypes.addressof(buffer)).pack())
        count = ioctl(self._fd, PAGEMAP_SCAN, arg)
        regions = PageRegion.unpack_all(buffer.raw[: count * REGION_SIZE])
        return PageScan(regions, PmScanArg.unpack(arg).walk_end)

    def close(self) -> None:
        os.close(self._fd)


def may_see_frames() -> bool:
    return os.access("/proc/kpagecount", os.R_OK) and os.geteuid() == 0


class Files:
    """The files of one world.

    Attributes:
        pagemaps: Of its processes.
        kpages: kpagecount and kpageflags; nothing without the right to see frames.
    """

    def __init__(self, *kpages: EntryFile) -> None:
        self.pagemaps: list[PagemapFile] = []
        self.kpages = kpages


def engine_files() -> Files:
    """Return files that show what the running kernel shows us."""
    return Files(KPAGECOUNT, KPAGEFLAGS) if may_see_frames() else Files()


@contextmanager
def live_files() -> Iterator[Files]:
    """Return files that are closed in the end, those of processes, too."""
    names = ("kpagecount", "kpageflags") if may_see_frames() else ()
    kpages = [LiveEntries(f"/proc/{name}") for name in names]
    files = Files(*kpages)
    try:
        yield files
    finally:
        for each in *kpages, *files.pagemaps:
            each.close()


def entries_of(file: EntryFile, first: int, count: int) -> list[int]:
    """Return entries, by their number in the file."""
    text = file.read_at(first * ENTRY_SIZE, count * ENTRY_SIZE)
    return [int.from_bytes(text[at : at + 8], "little") for at in range(0, len(text), ENTRY_SIZE)]


def known(flags: int) -> int:
    """Return what the engine knows of a page's flags.

    Not whether anonymous memory was given up or may be dropped, so that it is not KPF_SWAPBACKED.
    """
    return flags & (KNOWN_KPF & ~KPF_SWAPBACKED if flags & KPF_ANON else KNOWN_KPF)


def pages_of(files: Files, base: int, pages: int) -> list[object]:
    """Return what can be compared of pages from byte address base on, one process after the other.

    Of each page flags, the first page with the same frame, how often that is mapped, what it is.
    """
    found: list[object] = []
    seen: dict[int, int] = {}
    for pagemap in files.pagemaps:
        for entry in entries_of(pagemap, base // PAGE_SIZE, pages):
            frame = entry & PM_PFRAME_MASK
            page: list[object] = [f"{entry & FLAGS:x}", seen.setdefault(frame, len(found))]
            if entry & PM_PRESENT and files.kpages:
                count, flags = (entries_of(file, frame, 1)[0] for file in files.kpages)
                page += count, known(flags)
            found.append(page)
    return found
