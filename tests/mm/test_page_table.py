"""The resident pages after each operation on them."""

import pytest

from tests.helpers.engine import ANON, FIXED, RW, Pages, addr
from tests.helpers.smaps_records import Record, records
from untorn.errors import InvariantError
from untorn.maps.page import PAGE_SIZE, PMD_SIZE
from untorn.mm.file import VmFile
from untorn.mm.filemap import AddressSpace
from untorn.mm.mman import (
    MADV_DONTFORK,
    MADV_DONTNEED,
    MADV_FREE,
    MADV_PAGEOUT,
    MADV_WIPEONFORK,
    MAP_FIXED,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PROT_READ,
)
from untorn.mm.mmap_lock import mmap_write_lock, mmap_write_unlock
from untorn.syscalls import Process

POPULATED = FIXED | MAP_POPULATE
STATES = ("Rss", "Pss", "Shared_Clean", "Shared_Dirty", "Private_Clean", "Private_Dirty")


def smaps(process: Process) -> list[Record]:
    mmap_write_lock(process.mm)
    process.mm.check_invariants()
    mmap_write_unlock(process.mm)
    return records(process.open("smaps").read(1 << 20))


def state(process: Process, number: int = 0) -> dict[str, int]:
    """Return the fields of a VMA that are not 0, in pages (Pss: kB)."""
    record = smaps(process)[number]
    found = {name: record.kb(name) // (1 if name == "Pss" else 4) for name in STATES}
    return {name: value for name, value in found.items() if value}


def rss(process: Process) -> list[int]:
    return [record.kb("Rss") // 4 for record in smaps(process)]


def write(process: Process, *pages: int) -> None:
    for page in pages:
        process.touch(addr(page), write=True)


def read(process: Process, *pages: int) -> None:
    for page in pages:
        process.touch(addr(page), write=False)


def move(process: Process, first: int, end: int, place: int, flags: int = 0) -> None:
    flags |= MREMAP_FIXED | MREMAP_MAYMOVE
    length = (end - first) * PAGE_SIZE
    process.mremap(addr(first), length, length, flags, addr(place))


@pytest.fixture
def process() -> Pages:
    return Pages()


@pytest.fixture
def file(process: Pages) -> VmFile:
    process.files[3] = VmFile(b"/file", size=40 * PAGE_SIZE)
    return process.files[3]


def test_memory_that_was_only_read_is_the_zero_page_and_not_resident(process: Pages) -> None:
    process.map(0, 4)
    read(process, 0, 1)
    assert state(process) == {}
    write(process, 1)
    assert state(process) == {"Rss": 1, "Pss": 4, "Private_Dirty": 1}


def test_a_read_of_a_file_maps_the_block_around_it_clipped_to_the_vma(
    process: Pages, file: VmFile
) -> None:
    # BASE is 16 pages: the blocks begin at pages 0, 16, 32 of the file's mapping.
    process.map(3, 30, RW, MAP_PRIVATE | MAP_FIXED, fd=3)
    read(process, 5)
    assert state(process) == {"Rss": 16, "Pss": 64, "Private_Clean": 16}
    write(process, 5, 29)
    assert state(process) == {"Rss": 17, "Pss": 68, "Private_Clean": 15, "Private_Dirty": 2}


def test_a_page_of_a_file_counts_for_all_its_mappings(process: Pages, file: VmFile) -> None:
    process.map(0, 1, RW, MAP_SHARED | MAP_FIXED, fd=3)
    process.map(2, 3, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd=3)
    read(process, 0, 2)
    assert state(process) == state(process, 1) == {"Rss": 1, "Pss": 2, "Shared_Clean": 1}
    write(process, 0)
    assert state(process, 1) == {"Rss": 1, "Pss": 2, "Shared_Dirty": 1}
    process.fsync(3)
    process.unmap(0, 1)
    assert state(process) == {"Rss": 1, "Pss": 4, "Private_Clean": 1}


def test_a_dirty_page_of_shared_memory_stays_dirty_without_a_mapping(process: Pages) -> None:
    process.files[3] = VmFile(b"/memfd:m", size=1 << 20, mapping=AddressSpace(shmem=True))
    process.files[3].mapping.set_dirty(2, 3)
    process.map(0, 8, RW, MAP_SHARED | MAP_FIXED, fd=3)
    read(process, 0)
    assert state(process) == {"Rss": 2, "Pss": 8, "Private_Clean": 1, "Private_Dirty": 1}
    write(process, 0)
    process.fsync(3)
    process.madvise(addr(0), 8 * PAGE_SIZE, MADV_DONTNEED)
    assert state(process) == {}
    read(process, 7)
    assert state(process) == {"Rss": 3, "Pss": 12, "Private_Clean": 1, "Private_Dirty": 2}


def test_unmapping_and_mapping_over_let_pages_go(process: Pages) -> None:
    process.map(0, 6, RW, POPULATED)
    process.unmap(1, 2)
    assert rss(process) == [1, 4]
    process.map(3, 4)
    assert rss(process) == [1, 3]


def test_pages_move_with_their_memory_from_table_to_table(process: Pages) -> None:
    last = PMD_SIZE // PAGE_SIZE - 18
    process.map(0, 4, RW, POPULATED)
    process.madvise(addr(1), PAGE_SIZE, MADV_DONTNEED)
    move(process, 0, 4, last)
    assert rss(process) == [3]
    process.unmap(last, last + 1)
    assert rss(process) == [2], "the hole moved too"
    move(process, last + 1, last + 4, 0, MREMAP_DONTUNMAP)
    assert rss(process) == [2, 0]


def test_advice_takes_pages_away(process: Pages, file: VmFile) -> None:
    process.map(0, 4, RW, POPULATED)
    process.madvise(addr(0), 2 * PAGE_SIZE, MADV_FREE)
    assert state(process) == {"Rss": 4, "Pss": 16, "Private_Clean": 2, "Private_Dirty": 2}
    assert smaps(process)[0].kb("LazyFree") == 8
    write(process, 0)
    process.madvise(addr(0), 4 * PAGE_SIZE, MADV_PAGEOUT)
    assert state(process) == {"Rss": 3, "Pss": 12, "Private_Dirty": 3}
    process.map(8, 12, PROT_READ, MAP_PRIVATE | MAP_POPULATE | MAP_FIXED, fd=3)
    process.map(16, 18, PROT_READ, MAP_PRIVATE | MAP_POPULATE | MAP_FIXED, fd=3)
    process.madvise(addr(8), 4 * PAGE_SIZE, MADV_PAGEOUT)
    assert rss(process) == [3, 2, 2], "pages that others map stay"


def test_memory_written_by_nobody_is_forgotten_by_pageout(process: Pages) -> None:
    process.map(0, 2, RW, MAP_SHARED | ANON & ~MAP_PRIVATE | MAP_FIXED)
    write(process, 0)
    read(process, 1)
    process.madvise(addr(0), 2 * PAGE_SIZE, MADV_PAGEOUT)
    read(process, 0)
    assert rss(process) == [1]


def test_a_child_shares_pages_until_one_of_both_writes(process: Pages) -> None:
    process.map(0, 3, RW, POPULATED)
    child = process.fork()
    both = {"Rss": 3, "Pss": 6, "Shared_Dirty": 3}
    assert state(process) == state(child) == both
    write(process, 0)
    assert state(process) == {"Rss": 3, "Pss": 8, "Shared_Dirty": 2, "Private_Dirty": 1}
    assert state(child) == {"Rss": 3, "Pss": 8, "Shared_Dirty": 2, "Private_Dirty": 1}
    child.exit()
    assert state(process) == {"Rss": 3, "Pss": 12, "Private_Dirty": 3}
    write(process, 1)
    assert state(process.fork()) == both, "a page shared once can be shared again"


def test_a_child_gets_neither_wiped_pages_nor_those_that_faults_bring_in(
    process: Pages, file: VmFile
) -> None:
    process.map(0, 1, RW, POPULATED)
    process.map(2, 3, RW, POPULATED)
    process.map(4, 5, RW, MAP_SHARED | MAP_POPULATE | MAP_FIXED, fd=3)
    process.madvise(addr(0), PAGE_SIZE, MADV_WIPEONFORK)
    process.madvise(addr(2), PAGE_SIZE, MADV_DONTFORK)
    assert rss(process.fork()) == [0, 0]
    assert state(process, 2) == {"Rss": 1, "Pss": 4, "Private_Clean": 1}


def test_tables_without_pages_are_given_back(process: Pages) -> None:
    process.map(0, 2, RW, POPULATED)
    process.madvise(addr(0), 2 * PAGE_SIZE, MADV_DONTNEED)
    assert process.mm.page_table.parts(0, 1 << 47) == []


def test_the_check_finds_pages_outside_of_vmas_and_counts_that_are_wrong(
    process: Pages, file: VmFile
) -> None:
    process.map(0, 1, PROT_READ, MAP_PRIVATE | MAP_POPULATE | MAP_FIXED, fd=3)
    table = process.mm.page_table
    with pytest.raises(InvariantError, match="inside VMAs"):
        table.check_invariants([])
    file.mapping.page(0).unmap(dirty=False)
    with pytest.raises(InvariantError, match="mapped 0 times"):
        table.check_invariants(None)
