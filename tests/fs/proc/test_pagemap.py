"""pagemap, PAGEMAP_SCAN, kpagecount and kpageflags of the engine: locks, rights, errors, frames."""

import errno
from collections.abc import Callable
from contextlib import closing, nullcontext

import pytest

from tests.helpers.engine import FIXED, RW, Pages, addr
from tests.helpers.tasks import Worker, wait_until
from untorn.engine import (
    KPAGECOUNT,
    KPAGEFLAGS,
    KPF_ANON,
    KPF_MMAP,
    KPF_SWAPBACKED,
    KPF_ZERO_PAGE,
    PAGE_IS_GUARD,
    PAGE_IS_PRESENT,
    PAGEMAP_SCAN,
    PM_GUARD_REGION,
    PM_MMAP_EXCLUSIVE,
    PM_PFRAME_MASK,
    PM_PRESENT,
    PROCMAP_QUERY,
    TASK_SIZE,
    Device,
    FlatMemory,
    NotModelledError,
    PageRegion,
    PmScanArg,
    Process,
)
from untorn.locking import lockdep
from untorn.maps.entry import maps_line
from untorn.maps.page import PAGE_SIZE, PMD_SIZE
from untorn.maps.pagemap import ARG_SIZE, ENTRY_SIZE, PAGE_IS_ACCESSED, PAGE_IS_WRITTEN, EntryFile
from untorn.mm.mman import (
    MADV_DONTNEED,
    MADV_GUARD_INSTALL,
    MADV_PAGEOUT,
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED,
    MAP_POPULATE,
)
from untorn.mm.mmap_lock import mmap_write_lock, mmap_write_unlock

POPULATED = FIXED | MAP_POPULATE
OWN = PM_PRESENT | PM_MMAP_EXCLUSIVE
BORDER = (PMD_SIZE - addr(0)) // PAGE_SIZE
"""The first page of the second table."""


@pytest.fixture
def process() -> Pages:
    process = Pages()
    process.map(0, 4, RW, POPULATED)
    return process


def entries(process: Process, first: int, end: int) -> list[int]:
    """Return the entries of pages, by their numbers."""
    with closing(process.open_pagemap()) as pagemap:
        return numbers(pagemap, addr(first) // PAGE_SIZE, end - first)


def numbers(file: EntryFile, first: int, count: int) -> list[int]:
    text = file.read_at(first * ENTRY_SIZE, count * ENTRY_SIZE)
    return [int.from_bytes(text[at : at + 8], "little") for at in range(0, len(text), ENTRY_SIZE)]


def frames(process: Process, first: int, end: int) -> list[int]:
    return [entry & PM_PFRAME_MASK for entry in entries(process, first, end)]


def count_of(frame: int) -> int:
    return numbers(KPAGECOUNT, frame, 1)[0]


def test_frames_are_shown_to_those_who_may_see_them(process: Pages) -> None:
    process.madvise(addr(3), PAGE_SIZE, MADV_GUARD_INSTALL)
    assert 0 not in frames(process, 0, 3)
    process.proc.cap_sys_admin = False
    shown = entries(process, 0, 5)
    assert shown[:3] == [OWN] * 3
    assert shown[3] & PM_GUARD_REGION
    assert all(entry & PM_PFRAME_MASK == 0 for entry in shown)


def test_a_frame_is_that_of_one_page_for_as_long_as_it_lives(process: Pages) -> None:
    before = frames(process, 0, 4)
    assert len(set(before)) == 4
    process.touch(addr(1), write=True)
    process.move(0, 1, 9)
    assert [*frames(process, 9, 10), *frames(process, 1, 4)] == before
    process.madvise(addr(1), PAGE_SIZE, MADV_DONTNEED)
    process.touch(addr(1), write=True)
    assert frames(process, 1, 2)[0] not in before


def test_a_page_is_shared_until_it_is_written_or_only_one_process_maps_it(process: Pages) -> None:
    before = frames(process, 0, 4)
    child = process.fork()
    assert frames(child, 0, 4) == frames(process, 0, 4) == before
    assert count_of(before[0]) == 2
    assert numbers(KPAGEFLAGS, before[0], 1) == [KPF_ANON | KPF_MMAP | KPF_SWAPBACKED]
    child.touch(addr(0), write=True)
    assert frames(process, 0, 1) == before[:1]
    assert frames(child, 0, 1) != before[:1]
    assert [count_of(frame) for frame in before] == [1, 2, 2, 2]
    child.exit()
    process.touch(addr(1), write=True)
    assert frames(process, 0, 4) == before, "it is written in place"
    assert [count_of(frame) for frame in before] == [1, 1, 1, 1]


def test_a_page_that_is_gone_is_mapped_by_nobody(process: Pages) -> None:
    gone, *others = frames(process, 0, 4)
    process.unmap(0, 1)
    assert numbers(KPAGECOUNT, gone, 1) == numbers(KPAGEFLAGS, gone, 1) == [0]
    process.exit()
    assert [count_of(frame) for frame in others] == [0, 0, 0]


def test_the_zero_page_has_one_frame_and_no_count() -> None:
    process = Pages()
    process.map(0, 2)
    for page in range(2):
        process.touch(addr(page), write=False)
    first, second = frames(process, 0, 2)
    assert first == second
    assert count_of(first) == 0
    assert numbers(KPAGEFLAGS, first, 1) == [KPF_ZERO_PAGE]


def test_reading_frames_changes_nothing_that_others_see(process: Pages) -> None:
    process.map(8, 10, RW, MAP_DROPPABLE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE)
    before = process.open("smaps").read(1 << 16)
    frames(process, 0, 10)
    assert process.open("smaps").read(1 << 16) == before
    process.madvise(addr(8), 2 * PAGE_SIZE, MADV_PAGEOUT)
    assert entries(process, 8, 10) == [0, 0], "droppable memory goes as before"


def test_what_is_read_is_cut_at_the_end_of_the_frames() -> None:
    beyond = 1 << 50
    assert KPAGECOUNT.read_at(beyond, 80) == b""
    assert numbers(KPAGECOUNT, 0, 1) == [0]


@pytest.mark.parametrize(("offset", "size"), [(4, 8), (8, 4), (-8, 8), (8, -8)])
@pytest.mark.parametrize("file", ["pagemap", "kpagecount", "kpageflags"])
def test_only_whole_entries_can_be_read(file: str, offset: int, size: int, process: Pages) -> None:
    files: dict[str, EntryFile] = {
        "kpagecount": KPAGECOUNT,
        "kpageflags": KPAGEFLAGS,
        "pagemap": process.open_pagemap(),
    }
    with pytest.raises(OSError, match="Invalid argument") as raised:
        files[file].read_at(offset, size)
    assert raised.value.errno == errno.EINVAL


def reaped(process: Process) -> None:
    process.exit()
    process.reap()


def forbidden(process: Process) -> None:
    process.proc.ptrace_allowed = False


@pytest.mark.parametrize(
    ("prepare", "error"),
    [(Process.exit, errno.ESRCH), (reaped, errno.ENOENT), (forbidden, errno.EACCES)],
)
def test_it_cannot_be_opened(
    prepare: Callable[[Process], None], error: int, process: Pages
) -> None:
    prepare(process)
    with pytest.raises(OSError, match=r"\w") as raised:
        process.open_pagemap()
    assert raised.value.errno == error


def test_an_open_file_of_a_process_that_ends_has_nothing_to_show(process: Pages) -> None:
    pagemap = process.open_pagemap()
    process.exit()
    assert pagemap.read_at(1, 1) == b"", "nothing is asked of it any more"
    question = PmScanArg(addr(0), addr(4), category_mask=PAGE_IS_PRESENT)
    assert pagemap.scan(question) == ([], addr(4))
    pagemap.close()
    pagemap.close()
    assert process.mm.mm_count.load() == 0


def test_no_lock_is_left_behind_and_none_is_kept_between_slices(process: Pages) -> None:
    # A writer that waits during the first slice gets the lock before the second one.
    process.map(BORDER - 1, BORDER + 1, RW, POPULATED)
    pagemap = process.open_pagemap()
    mmap_write_lock(process.mm)
    reader = Worker(lambda: numbers(pagemap, addr(BORDER - 1) // PAGE_SIZE, 2))
    wait_until(process.mm.mmap_lock.is_contended, "the reader waits")
    mmap_write_unlock(process.mm)
    assert all(entry & PM_PRESENT for entry in reader.join())
    lockdep.assert_nothing_held()
    assert not process.mm.mmap_lock.is_locked()


def test_a_reader_that_is_killed_while_it_waits_gets_nothing(process: Pages) -> None:
    pagemap = process.open_pagemap()
    mmap_write_lock(process.mm)
    for look in (
        lambda: pagemap.read_at(addr(0) // PAGE_SIZE * ENTRY_SIZE, ENTRY_SIZE),
        lambda: pagemap.scan(PmScanArg(addr(0), addr(4))),
    ):
        reader = Worker[object](look)
        wait_until(process.mm.mmap_lock.is_contended, "the reader waits")
        reader.task.kill()
        with pytest.raises(InterruptedError):
            reader.join()
    mmap_write_unlock(process.mm)
    assert process.mm.mm_users.load() == 1


def test_an_ioctl_needs_memory_that_can_be_written(process: Pages) -> None:
    pagemap = process.open_pagemap()
    memory = FlatMemory(ARG_SIZE)
    question = PmScanArg(addr(0), addr(4), return_mask=PAGE_IS_PRESENT, vec=memory.base)
    with pytest.raises(OSError, match="Bad address"):
        pagemap.ioctl(PAGEMAP_SCAN, memory, memory.base + 8)
    memory.copy_to_user(memory.base, question._replace(vec=1 << 20).pack())
    with pytest.raises(OSError, match="Bad address"):
        pagemap.ioctl(PAGEMAP_SCAN, memory, memory.base)
    assert PmScanArg.unpack(memory.data).walk_end == addr(4), "it is written nevertheless"
    with pytest.raises(OSError, match="Invalid argument"):
        pagemap.ioctl(PROCMAP_QUERY, memory, memory.base)


@pytest.mark.parametrize(("release", "error"), [((6, 6), "Inappropriate ioctl"), ((6, 7), None)])
def test_a_scan_is_there_since_linux_6_7(release: tuple[int, int], error: str | None) -> None:
    pagemap = Pages(release=release).open_pagemap()
    with pytest.raises(OSError, match=error) if error else nullcontext():
        pagemap.scan(PmScanArg(addr(0), addr(4), return_mask=PAGE_IS_PRESENT))


def test_a_scan_lets_go_of_the_lock_after_512_regions_and_goes_on(process: Pages) -> None:
    pages = 1200
    process.mmap(addr(10), pages * PAGE_SIZE, RW, FIXED)
    for page in range(10, 10 + pages, 2):
        process.touch(addr(page), write=True)
    asked = PmScanArg(addr(10), addr(10 + pages), PAGE_IS_PRESENT, return_mask=0, vec_len=1000)
    regions, _ = process.open_pagemap().scan(asked)
    wanted = [PageRegion(addr(p), addr(p + 1), 0) for p in range(10, 10 + pages, 2)]
    assert regions == wanted


def test_what_counts_as_written_and_whether_accesses_are_tracked_by_release() -> None:
    for release, categories in ((7, 2), PAGE_IS_WRITTEN), ((7, 3), 0):
        process = Pages(release=release)
        process.map(0, 1)
        process.access(0, write=True)
        everything = PmScanArg(addr(0), addr(1), return_mask=PAGE_IS_WRITTEN)
        assert process.open_pagemap().scan(everything)[0][0].categories == categories
    asked = PmScanArg(addr(0), addr(1), category_mask=PAGE_IS_ACCESSED)
    assert Pages(release=(7, 3)).open_pagemap().scan(asked)[0] == []
    with pytest.raises(OSError, match="Invalid"):
        Pages(release=(7, 2)).open_pagemap().scan(asked)


def test_guards_are_told_by_release() -> None:
    asked = PmScanArg(addr(0), addr(1), category_mask=PAGE_IS_GUARD)
    for release, told in ((6, 14), False), ((6, 15), True):
        process = Pages(release=release)
        process.map(0, 1)
        process.madvise(addr(0), PAGE_SIZE, MADV_GUARD_INSTALL)
        assert bool(entries(process, 0, 1)[0] & PM_GUARD_REGION) == told
        with pytest.raises(OSError, match="Invalid"):
            process.open_pagemap().scan(asked)
    assert Pages(release=(6, 16)).open_pagemap().scan(asked)[0] == []


def test_what_a_driver_maps_is_refused() -> None:
    start, end = 0x7F0000000000, 0x7F0000001000
    text = maps_line(start, end, 0b1011, 0, Device(0, 6), 7, b"/dev/mem")
    pagemap = Process.from_maps(text, task_size=TASK_SIZE).open_pagemap()
    with pytest.raises(NotModelledError, match="pagemap: 7f0000000000-7f0000001000 maps /dev/mem"):
        pagemap.read_at(start // PAGE_SIZE * ENTRY_SIZE, ENTRY_SIZE)
    with pytest.raises(NotModelledError, match="PAGEMAP_SCAN: 7f0000000000-7f0000001000 maps"):
        pagemap.scan(PmScanArg(start, end))
    assert pagemap.read_at(end // PAGE_SIZE * ENTRY_SIZE, ENTRY_SIZE) == bytes(ENTRY_SIZE)
