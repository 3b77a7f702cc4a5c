"""Both worlds over one window, with the same files open, and what their smaps say of it."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.helpers.smaps_records import Record
from tests.oracle.kernel_process import KernelProcess
from tests.oracle.real_files import vm_file
from tests.oracle.worlds import EngineWorld, KernelWorld, World, engine_limits, masked, window_bases
from untorn.maps.page import PAGE_SIZE
from untorn.mm.filemap import AddressSpace

COMPARED = (
    "Size",
    "KernelPageSize",
    "MMUPageSize",
    "Rss",
    "Pss",
    "Pss_Dirty",
    "Shared_Clean",
    "Shared_Dirty",
    "Private_Clean",
    "Private_Dirty",
    "Anonymous",
    "KSM",
    "LazyFree",
    "AnonHugePages",
    "ShmemPmdMapped",
    "FilePmdMapped",
    "Shared_Hugetlb",
    "Private_Hugetlb",
    "Swap",
    "SwapPss",
    "Locked",
    "THPeligible",
    "VmFlags",
)
"""Fields that the engine models, or that are 0 in both worlds."""
FIRST_PAGES = (0, 9, 503)
"""Where a script's pages begin, so that they cross no border, one of the blocks that a fault maps
around, or one of page tables."""
ONE_PAGES, OTHER_PAGES, OTHER_BYTES = 20, 9, 100
"""Sizes of the two files; the second ends in a page."""


@dataclass(frozen=True)
class Opens:
    """Two opens of one inode, one of it that cannot write, and one of another.

    Attributes:
        files: Path and O_* flags of each.
        fds: The child's descriptors of the same.
        in_memory: They do not lie on a disk.
    """

    files: list[tuple[Path, int]]
    fds: list[int]
    in_memory: bool

    def renew(self) -> None:
        """Have the files clean: of one on a disk all in the page cache, else no page of it."""
        for path in {path for path, _ in self.files}:
            with path.open("rb+") as file:
                if self.in_memory:
                    size = os.fstat(file.fileno()).st_size
                    os.truncate(file.fileno(), 0)
                    os.truncate(file.fileno(), size)
                else:
                    os.fsync(file.fileno())
                    file.read()


def on_a_disk(child: KernelProcess, directory: Path) -> Opens:
    """Write the files page by page, so that each is a folio of its own."""
    paths = directory / "one", directory / "other file"
    for path, pages, more in (paths[0], ONE_PAGES, 0), (paths[1], OTHER_PAGES, OTHER_BYTES):
        with path.open("wb", buffering=0) as file:
            for _ in range(pages):
                file.write(bytes(PAGE_SIZE))
            file.write(bytes(more))
    return _opened(child, *paths, in_memory=False)


def in_memory(child: KernelProcess) -> Opens:
    """Have the child make the files."""
    paths = [Path(f"/proc/{child.pid}/fd/{child.call('memfd', name)}") for name in ("one", "other")]
    os.truncate(paths[0], ONE_PAGES * PAGE_SIZE)
    os.truncate(paths[1], OTHER_PAGES * PAGE_SIZE + OTHER_BYTES)
    return _opened(child, *paths, in_memory=True)


def _opened(child: KernelProcess, one: Path, other: Path, *, in_memory: bool) -> Opens:
    files = [(one, os.O_RDWR), (one, os.O_RDWR), (one, os.O_RDONLY), (other, os.O_RDWR)]
    fds = [child.call("open", str(path), flags) for path, flags in files]
    return Opens(files, fds, in_memory)


class Pair:
    """Both worlds over the same window, with the same files open and clean.

    A context manager: leaving it unmaps what can be unmapped, sealed memory excepted.
    """

    def __init__(self, child: KernelProcess, opens: Opens, first_page: int = 0) -> None:
        base = next(window_bases) + first_page * PAGE_SIZE
        self.engine = EngineWorld(engine_limits(), base)
        self.kernel = KernelWorld(child, base)
        self._child = child
        files = [vm_file(*each) for each in opens.files]
        inodes = {file.inode: AddressSpace(shmem=opens.in_memory) for file in files}
        for file in files:
            file.mapping = inodes[file.inode]
        self._names = tuple({file.path for file in files})
        self.worlds: list[tuple[World, list[int]]] = [
            (self.engine, [self.engine.adopt(file) for file in files]),
            (self.kernel, opens.fds),
        ]
        opens.renew()

    def smaps(self) -> tuple[list[object], list[object]]:
        """Return what can be compared, of the engine and of the kernel."""
        self._child.call("drain")
        return comparable(self.engine.smaps()), comparable(self.kernel.smaps())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Unmap the window, and what was moved out of it and would count as sharing."""
        for line in self.kernel.all_maps().splitlines():
            if line.endswith(self._names) or self.kernel.holds(line):
                start, end = (int(text, 16) for text in line.split()[0].split(b"-"))
                with suppress(PermissionError):  # sealed
                    self.kernel.munmap(start, end - start)


def comparable(found: list[Record]) -> list[object]:
    lines = masked([record.line for record in found])
    return [(line, record.only(COMPARED)) for line, record in zip(lines, found, strict=True)]
