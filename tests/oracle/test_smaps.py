"""The same calls give the same smaps in the engine and in the running kernel.

Left out are fields that the engine does not model, and LazyFree: the kernel counts pages there
only once it has a batch of them.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_process import KernelProcess
from real_files import vm_file
from scripts import Call, smaps_scripts
from test_maps_text import masked
from worlds import ANONYMOUS, RW, EngineWorld, KernelWorld, World, engine_limits, window_bases

from smaps_records import Record, records
from untorn.mm.filemap import AddressSpace
from untorn.mm.mman import (
    MADV_DONTNEED,
    MADV_FREE,
    MADV_PAGEOUT,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PROT_READ,
)
from untorn.mm.page import PAGE_SIZE

pytestmark = pytest.mark.live

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


FIRST_PAGES = (0, 9, 503)
"""Where a script's pages begin, so that they cross no border, one of the blocks that a fault maps
around, or one of page tables."""


def fill(path: Path, pages: int, more: int = 0) -> None:
    """Write a file page by page, so that each is a folio of its own, and have it clean."""
    with path.open("wb", buffering=0) as file:
        for _ in range(pages):
            file.write(bytes(PAGE_SIZE))
        file.write(bytes(more))
        os.fsync(file.fileno())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, int]]:
    """Two opens of one inode, one of it that cannot write, and another that ends in a page."""
    directory = tmp_path_factory.mktemp("smaps")
    one, other = directory / "one", directory / "other file"
    fill(one, 20)
    fill(other, 9, 100)
    return [(one, os.O_RDWR), (one, os.O_RDWR), (one, os.O_RDONLY), (other, os.O_RDWR)]


@pytest.fixture(scope="module")
def child_fds(child: KernelProcess, files: list[tuple[Path, int]]) -> list[int]:
    return [child.call("open", str(path), flags) for path, flags in files]


def refresh(path: Path) -> None:
    """Have a file clean, and all of it in the page cache without marks of readahead."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        file.read()


class Pair:
    """Both worlds over the same window, with the same files open and clean."""

    def __init__(
        self, child: KernelProcess, files: list[tuple[Path, int]], first_page: int = 0
    ) -> None:
        base = next(window_bases) + first_page * PAGE_SIZE
        self.engine = EngineWorld(engine_limits(), base)
        self.kernel = KernelWorld(child, base)
        self.paths = {path for path, _ in files}
        mappings = {path: AddressSpace() for path in self.paths}
        self.engine_fds = []
        for path, flags in files:
            file = vm_file(path, flags)
            file.mapping = mappings[path]
            self.engine_fds.append(self.engine.adopt(file))
        for path in self.paths:
            refresh(path)

    def clear(self) -> None:
        """Unmap the window, and what was moved out of it and would count as sharing."""
        names = [os.fsencode(path) for path in self.paths]
        for line in self.kernel.all_maps().splitlines():
            start, end = (int(text, 16) for text in line.split()[0].split(b"-"))
            if line.endswith(tuple(names)) or 0 <= start - self.kernel.base < 1 << 22:
                self.kernel.munmap(start, end - start)

    def smaps(self) -> tuple[list[object], list[object]]:
        return comparable(self.engine.smaps()), comparable(self.kernel.smaps())


def comparable(found: list[Record]) -> list[object]:
    lines = masked([record.line for record in found])
    return [(line, record.only(COMPARED)) for line, record in zip(lines, found, strict=True)]


def test_smaps_of_parent_and_child_are_the_same_through_copies_and_exit(
    child: KernelProcess, files: list[tuple[Path, int]], child_fds: list[int]
) -> None:
    pair = Pair(child, files)
    worlds = [(pair.engine, pair.engine_fds), (pair.kernel, child_fds)]
    try:
        for world, fds in worlds:
            build_family(world, fds)
        engine_child, pid = pair.engine.process.fork(), child.call("fork")
        family = EngineWorld(engine_limits(), pair.engine.base)
        family.process = engine_child

        def compare() -> None:
            engine, kernel = pair.smaps()
            assert engine == kernel
            theirs = [r for r in records(child.smaps(pid)) if pair.kernel.holds(r.line)]
            assert comparable(family.smaps()) == comparable(theirs)

        compare()
        for world, _ in worlds:
            world.touch(world.page(0))
            world.touch(world.page(9), write=False)
            world.madvise(world.page(1), PAGE_SIZE, MADV_DONTNEED)
            world.madvise(world.page(2), PAGE_SIZE, MADV_FREE)
            world.mremap(
                world.page(12), PAGE_SIZE, PAGE_SIZE, MREMAP_FIXED | MREMAP_MAYMOVE, world.page(15)
            )
        compare()
        engine_child.exit()
        child.call("end", pid)
        for world, _ in worlds:
            world.touch(world.page(2))
        engine, kernel = pair.smaps()
        assert engine == kernel
    finally:
        pair.clear()


def build_family(world: World, fds: list[int]) -> None:
    """Map memory and a file in ways of which a child gets its share."""
    world.put(0, 4, flags=ANONYMOUS | MAP_POPULATE)
    world.mmap(world.page(6), 2 * PAGE_SIZE, RW, MAP_SHARED | MAP_FIXED, fds[0], 0)
    world.touch(world.page(6))
    world.mmap(world.page(9), 2 * PAGE_SIZE, RW, MAP_PRIVATE | MAP_FIXED, fds[3], 0)
    world.touch(world.page(10))
    world.put(12, 2, flags=ANONYMOUS | MAP_POPULATE)
    world.put(18, 2, flags=MAP_SHARED | MAP_ANONYMOUS)
    world.touch(world.page(18))


@pytest.mark.parametrize("first_page", FIRST_PAGES)
def test_a_read_maps_the_same_pages_around(
    first_page: int, child: KernelProcess, files: list[tuple[Path, int]], child_fds: list[int]
) -> None:
    pair = Pair(child, files, first_page)
    windows = [(first, pages) for first in (0, 3, 15) for pages in (1, 9, 20)]
    try:
        for first, pages in windows:
            for touched in range(0, pages, 3):
                for world, fds in (pair.engine, pair.engine_fds), (pair.kernel, child_fds):
                    length = pages * PAGE_SIZE
                    world.mmap(world.page(first), length, RW, MAP_SHARED | MAP_FIXED, fds[0], 0)
                    world.touch(world.page(first + touched), write=False)
                engine, kernel = pair.smaps()
                assert engine == kernel, f"page {touched} of {pages} from {first} on"
    finally:
        pair.clear()


def test_what_was_written_to_memory_is_dirty_for_others_after_the_same_steps(
    child: KernelProcess, files: list[tuple[Path, int]]
) -> None:
    # Pages 0 to 3 are mapped again at 8. Page 0 is written by a fault, 1 after it was read, 2
    # the same and then unmapped; 3 is only read.
    pair = Pair(child, files)
    try:
        for world in (pair.engine, pair.kernel):
            world.put(0, 4, flags=MAP_SHARED | MAP_ANONYMOUS)
            world.touch(world.page(0))
            for page in 1, 2, 3:
                world.touch(world.page(page), write=False)
            world.touch(world.page(1))
            world.touch(world.page(2))
            world.madvise(world.page(2), PAGE_SIZE, MADV_DONTNEED)
            flags = MREMAP_FIXED | MREMAP_MAYMOVE
            world.mremap(world.page(0), 0, 4 * PAGE_SIZE, flags, world.page(8))
            for page in range(8, 12):
                world.touch(world.page(page), write=False)
                world.mprotect(world.page(page), PAGE_SIZE, RW if page % 2 else PROT_READ)
        engine, kernel = pair.smaps()
        assert engine == kernel
        assert len(engine) == 5, "one record for each page that was mapped again"
    finally:
        pair.clear()


def test_smaps_are_the_same_after_pages_were_paged_out(
    child: KernelProcess, files: list[tuple[Path, int]], child_fds: list[int]
) -> None:
    pair = Pair(child, files)
    try:
        for world, fds in (pair.engine, pair.engine_fds), (pair.kernel, child_fds):
            world.put(0, 4, flags=ANONYMOUS | MAP_POPULATE)
            world.mmap(world.page(6), 4 * PAGE_SIZE, RW, MAP_SHARED | MAP_FIXED, fds[0], 0)
            world.touch(world.page(6), write=False)
            for first in (0, 6):
                world.madvise(world.page(first), 4 * PAGE_SIZE, MADV_PAGEOUT)
        engine, kernel = pair.smaps()
        assert engine == kernel
    finally:
        pair.clear()


@settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(script=smaps_scripts, first_page=st.sampled_from(FIRST_PAGES))
def test_smaps_are_the_same_after_every_call_of_any_script(
    child: KernelProcess,
    files: list[tuple[Path, int]],
    child_fds: list[int],
    script: list[Call],
    first_page: int,
) -> None:
    pair = Pair(child, files, first_page)
    try:
        for number, call in enumerate(script):
            engine = call.make(pair.engine, pair.engine_fds)
            kernel = call.make(pair.kernel, child_fds)
            assert engine == kernel, f"step {number}, {call}"
            engine_smaps, kernel_smaps = pair.smaps()
            assert engine_smaps == kernel_smaps, f"after step {number}, {call}"
    finally:
        pair.clear()
