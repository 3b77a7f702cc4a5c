"""The locks that advice takes, and pages that leave a file while other tasks fault them in."""

import threading

import pytest

from tests.helpers.engine import FIXED, RW, Pages, addr
from tests.helpers.smaps_records import records
from tests.helpers.tasks import Worker, wait_until
from untorn.maps.page import PAGE_SIZE
from untorn.mm.file import shmem_zero_file
from untorn.mm.mman import (
    MADV_DONTFORK,
    MADV_DONTNEED,
    MADV_GUARD_INSTALL,
    MADV_GUARD_REMOVE,
    MADV_POPULATE_READ,
    MADV_REMOVE,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_POPULATE,
    MAP_SHARED,
    PROT_READ,
)
from untorn.mm.mmap_lock import (
    mmap_read_lock,
    mmap_read_unlock,
    mmap_write_lock,
    mmap_write_unlock,
)
from untorn.syscalls import Process

P = PAGE_SIZE


def rss(process: Process) -> int:
    return sum(record.kb("Rss") for record in records(process.open("smaps").read(1 << 20)))


@pytest.fixture
def process() -> Pages:
    """Make a process with pages 0 to 3 writable and 4 to 7 read-only, all resident."""
    process = Pages()
    process.map(0, 4, RW, FIXED | MAP_POPULATE)
    process.map(4, 8, PROT_READ, FIXED | MAP_POPULATE)
    return process


def test_to_discard_from_one_vma_needs_no_mmap_lock(process: Pages) -> None:
    mmap_write_lock(process.mm)
    Worker(lambda: process.madvise(addr(1), 2 * P, MADV_DONTNEED)).join()
    mmap_write_unlock(process.mm)
    assert rss(process) == 8


def test_to_discard_from_two_vmas_waits_for_writers(process: Pages) -> None:
    mmap_write_lock(process.mm)
    worker = Worker(lambda: process.madvise(addr(2), 4 * P, MADV_DONTNEED))
    wait_until(process.mm.mmap_lock.is_contended)
    mmap_write_unlock(process.mm)
    worker.join()
    assert rss(process) == 8


def waits_for_a_writer(process: Process, advice: int) -> bool:
    """Say whether advice about page 0 has to wait for mmap_lock."""
    mmap_write_lock(process.mm)
    worker = Worker(lambda: process.madvise(addr(0), P, advice))
    wait_until(lambda: worker.done or process.mm.mmap_lock.is_contended())
    waits = process.mm.mmap_lock.is_contended()
    mmap_write_unlock(process.mm)
    worker.join()
    return waits


@pytest.mark.parametrize("advice", [MADV_GUARD_INSTALL, MADV_GUARD_REMOVE])
@pytest.mark.parametrize(("release", "waits"), [((6, 18), True), ((6, 19), False)])
def test_guards_need_no_mmap_lock_since_linux_6_19(
    advice: int, release: tuple[int, int], waits: bool
) -> None:
    process = Pages(release=release)
    process.map(0, 4, RW, FIXED | MAP_POPULATE)
    assert waits_for_a_writer(process, advice) == waits


def test_a_first_anon_vma_of_a_guard_needs_mmap_lock() -> None:
    process = Pages(release=(7, 3))
    process.map(0, 4)
    assert waits_for_a_writer(process, MADV_GUARD_INSTALL)
    assert not waits_for_a_writer(process, MADV_GUARD_INSTALL)


@pytest.mark.parametrize("advice", [MADV_GUARD_INSTALL, MADV_POPULATE_READ, MADV_REMOVE])
def test_advice_about_pages_goes_along_with_readers(advice: int) -> None:
    process = Pages()
    process.map(0, 4, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED)
    mmap_read_lock(process.mm)
    Worker(lambda: process.madvise(addr(0), 4 * P, advice)).join()
    mmap_read_unlock(process.mm)


def test_advice_that_changes_flags_waits_for_readers(process: Pages) -> None:
    mmap_read_lock(process.mm)
    worker = Worker(lambda: process.madvise(addr(0), P, MADV_DONTFORK))
    wait_until(process.mm.mmap_lock.is_contended)
    mmap_read_unlock(process.mm)
    worker.join()


def test_no_process_keeps_a_page_that_left_the_file() -> None:
    # One task reads and writes the file's pages, one forks children that do so and exit, and one
    # moves the mapping about, while this task punches holes.
    parent = Pages()
    parent.files[3] = shmem_zero_file(16 * P)
    parent.map(0, 16, RW, MAP_SHARED | MAP_FIXED, fd=3)
    parent.map(20, 36, RW, MAP_SHARED | MAP_FIXED, fd=3)
    rounds = threading.Event()

    def access() -> None:
        while not rounds.is_set():
            for page in range(20, 36):
                parent.touch(addr(page), write=page % 2 == 0)

    def fork() -> None:
        while not rounds.is_set():
            child = parent.fork()
            child.touch(addr(3), write=True)
            child.exit()

    children = [parent.fork() for _ in range(2)]
    workers = [Worker(access), Worker(fork)]
    try:
        for _ in range(200):
            parent.madvise(addr(0), 16 * P, MADV_REMOVE)
            for child in children:
                child.touch(addr(2), write=True)
    finally:
        rounds.set()
        for worker in workers:
            worker.join()
    parent.madvise(addr(0), 16 * P, MADV_REMOVE)
    assert [rss(process) for process in (parent, *children)] == [0, 0, 0]
