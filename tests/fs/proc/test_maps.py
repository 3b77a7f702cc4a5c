"""/proc/PID/maps of the engine: lines, positions, and processes that exit."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.engine import ANON, FIXED, RW, Pages, addr, read_all, shown, text_of
from tests.helpers.tasks import Worker, background, ctrl_c_ends_waits, wait_until
from untorn.fs.proc.maps_locking import MAPS_LOCKINGS
from untorn.maps.fields import Device
from untorn.mm.file import VmFile
from untorn.mm.mm_types import MmStruct
from untorn.mm.mman import (
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
)
from untorn.mm.mmap_lock import mmap_write_lock, mmap_write_unlock
from untorn.mm.vma_lock import vma_start_write
from untorn.syscalls import Process

READERS = sorted(MAPS_LOCKINGS)
every_reader = pytest.mark.parametrize("reader", READERS)


def with_file(file: VmFile) -> Pages:
    process = Pages()
    process.files[3] = file
    return process


@every_reader
def test_anonymous_memory_has_numbers_of_zero_and_a_space_at_the_end(reader: str) -> None:
    process = Pages()
    process.map(0, 1)
    assert text_of(process, reader=reader) == b"00010000-00011000 rw-p 00000000 00:00 0 \n"


@every_reader
def test_a_file_shows_offset_device_inode_and_a_name_at_column_73(reader: str) -> None:
    process = with_file(VmFile(b"/usr/lib/libm.so.6", Device(0xFE, 1), 11861))
    process.map(0, 2, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd=3, offset=0x2000)
    line = text_of(process, reader=reader)
    assert line.startswith(b"00010000-00012000 r-xp 00002000 fe:01 11861 ")
    assert line.index(b"/usr") == 73
    assert line.endswith(b"/usr/lib/libm.so.6\n")


@pytest.mark.parametrize(
    ("prot", "flags", "shown_as"),
    [
        (PROT_NONE, FIXED, b"---p"),
        (PROT_READ, FIXED, b"r--p"),
        (RW, FIXED, b"rw-p"),
        (RW | PROT_EXEC, FIXED, b"rwxp"),
    ],
)
def test_permissions(prot: int, flags: int, shown_as: bytes) -> None:
    process = Pages()
    process.map(0, 1, prot, flags)
    assert text_of(process).split()[1] == shown_as


def test_a_shared_mapping_of_a_read_only_file_shows_s() -> None:
    process = with_file(VmFile(b"/etc/hosts", writable=False))
    process.map(0, 1, PROT_READ, MAP_SHARED | MAP_FIXED, fd=3)
    assert text_of(process).split()[1] == b"r--s"


def test_newlines_in_names_are_escaped_and_nothing_else() -> None:
    process = with_file(VmFile(b"/tmp/a b\tc\\d\ne"))
    process.map(0, 1, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd=3)
    assert text_of(process)[73:] == b"/tmp/a b\tc\\d\\012e\n"


def test_a_prefix_that_is_too_long_is_followed_by_two_spaces() -> None:
    process = with_file(VmFile(b"/f", Device(0x12345, 0x678), 2**64 - 1))
    process.mmap(0x7FFF_FFFF_0000, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED, 3, 0x7_FFFF_FFFF_F000)
    line = text_of(process)
    assert len(line.split(b"/")[0]) >= 73
    assert line.endswith(b" 18446744073709551615  /f\n")


def test_addresses_have_at_least_eight_digits_and_as_many_as_they_need() -> None:
    process = Pages()
    process.mmap(0x7FFF_FFFF_0000, 4096, RW, FIXED)
    assert text_of(process).startswith(b"7fffffff0000-7fffffff1000 ")


def test_heap_and_stack_are_named_by_where_they_are() -> None:
    process = Pages()
    process.map(0, 1)
    process.map(2, 3)
    process.map(4, 5)
    process.mm.start_brk, process.mm.brk = addr(0), addr(0) + 100
    process.mm.start_stack = addr(4) + 8
    names = [line[73:] for line in text_of(process).splitlines()]
    assert names == [b"[heap]", b"", b"[stack]"]


def test_the_gate_vma_comes_last() -> None:
    process = Process(MmStruct())
    lines = text_of(process).splitlines()
    assert lines == [
        b"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]"
    ]


@pytest.mark.live
def test_the_gate_line_is_the_running_kernels_if_it_has_that_kind() -> None:
    last = Path("/proc/self/maps").read_bytes().splitlines(keepends=True)[-1]
    if b"--xp" not in last:
        pytest.skip("this kernel runs without vsyscall=xonly")
    assert text_of(Process(MmStruct())) == last


@every_reader
def test_the_end_is_the_end_until_a_seek_to_the_start(reader: str) -> None:
    process = Pages()
    process.map(0, 1)
    file = process.open("maps", reader)
    assert len(read_all(file)) > 0
    process.map(5, 6)
    assert file.read(100) == b""
    file.seek(0)
    assert shown(read_all(file)) == [(0, 1), (5, 6)]


@every_reader
def test_a_walk_over_many_fills_sees_every_vma_once(reader: str) -> None:
    process = Pages()
    for page in range(0, 1000, 2):
        process.mmap(addr(page), 4096, RW, FIXED)
    expected = [(page, page + 1) for page in range(0, 1000, 2)]
    for size in (100, 4096, 1 << 16):
        file = process.open("maps", reader)
        text = b""
        while chunk := file.read(size):
            text += chunk
        assert shown(text) == expected


@every_reader
def test_a_merge_into_the_vma_before_a_fill_is_shown_as_a_permitted_duplicate(
    reader: str,
) -> None:
    # The buffer was full at VMA k+1, which then merges into k before the next fill. The walk
    # continues at the end of k and finds the merged VMA there.
    process = Pages()
    for page in range(300):
        process.mmap(addr(page), 4096, RW if page % 2 else PROT_READ, FIXED)
    file = process.open("maps", reader)
    first = shown(file.read(4096))
    last = first[-1][1] - 1
    process.protect(last, last + 2, PROT_NONE)
    second = shown(file.read(4096))
    assert second[0] == (last, last + 2)
    assert second[1] == (last + 2, last + 3)


@every_reader
def test_at_the_limit_of_readers_the_fill_goes_on_under_mmap_lock(reader: str) -> None:
    process = Pages()
    process.map(0, 1)
    process.map(1, 2, PROT_READ)
    count = process.vma(1).vm_refcnt
    count.store((1 << 30) - 1)
    assert shown(text_of(process, reader=reader)) == [(0, 1), (1, 2)]
    assert process.open("maps", reader).query(addr(1)).entry.start == addr(1)
    assert count.load() == (1 << 30) - 1
    count.store(1)


@every_reader
def test_an_open_file_of_a_process_that_goes_away(reader: str) -> None:
    process = Pages()
    for page in range(0, 400, 2):
        process.mmap(addr(page), 4096, RW, FIXED)
    file = process.open("maps", reader)
    assert file.read(1000)
    process.exit()
    file.seek(0)
    assert file.read(4096) == b"", "a zombie has no maps"
    assert process.open("maps", reader).read(100) == b"", "but its file can still be opened"
    with pytest.raises(ProcessLookupError) as caught:
        file.query(addr(0))
    assert caught.value.errno == errno.ESRCH
    process.reap()
    with pytest.raises(ProcessLookupError):
        file.read(10)
    with pytest.raises(FileNotFoundError):
        process.open("maps", reader)


@every_reader
def test_a_file_opened_after_the_exit_does_not_bring_the_mm_back(reader: str) -> None:
    process = Pages()
    process.exit()
    with process.open("maps", reader) as file:
        assert file.read(100) == b""
        with pytest.raises(ProcessLookupError):
            file.query(0)
    assert process.mm.mm_count.load() == 0


def striped(count: int) -> Pages:
    """Return a process with adjacent VMAs of one page each."""
    process = Pages()
    for page in range(count):
        process.mmap(addr(page), 4096, RW if page % 2 else PROT_READ, FIXED)
    return process


@contextmanager
def written(process: Pages, page: int) -> Iterator[None]:
    """Let another task write-lock the VMA at page, until the end."""

    def hold() -> None:
        mmap_write_lock(process.mm)
        vma_start_write(process.vma(page))
        ready.append(True)
        wait_until(lambda: done, "the end of the test")
        mmap_write_unlock(process.mm)

    ready: list[bool] = []
    done: list[bool] = []
    with background(hold):
        wait_until(lambda: ready, "the writer")
        try:
            yield
        finally:
            done.append(True)


def test_a_fill_cut_short_by_a_kill_goes_on_after_the_last_line_shown() -> None:
    process = striped(20)
    file = process.open()
    with written(process, 10):
        victim = Worker(lambda: file.read(4096))
        wait_until(lambda: process.mm.mmap_lock._queue, "the fallback")
        victim.task.kill()
        first = victim.join()
    assert shown(first + read_all(file)) == [(page, page + 1) for page in range(20)]


@every_reader
def test_ctrl_c_in_a_read_loses_no_line_and_leaves_nothing_behind(reader: str) -> None:
    process = striped(20)
    file = process.open("maps", reader)
    text = file.read(60)
    with written(process, 10), ctrl_c_ends_waits(), pytest.raises(KeyboardInterrupt):
        read_all(file)
    assert process.mm.mm_users.load() == 1
    assert shown(text + read_all(file)) == [(page, page + 1) for page in range(20)]


def test_an_rcu_reader_interrupted_in_the_middle_of_a_fill_leaves_rcu_once() -> None:
    process = striped(2)
    locking = MAPS_LOCKINGS["rcu"](process.mm)
    locking.lock_vma_range()
    with written(process, 1), ctrl_c_ends_waits(), pytest.raises(KeyboardInterrupt):
        locking.get_next_vma(0)
    locking.unlock_vma_range()  # lockdep would raise an error


@every_reader
def test_an_exit_between_two_fills_ends_the_walk(reader: str) -> None:
    process = Pages()
    for page in range(0, 400, 2):
        process.mmap(addr(page), 4096, RW, FIXED)
    file = process.open("maps", reader)
    assert len(file.read(4096)) > 3000
    process.exit()
    assert file.read(4096) == b""
    file.close()


@every_reader
def test_a_file_open_while_the_process_runs_another_program_stays_with_the_old(reader: str) -> None:
    process = Pages()
    process.map(0, 1)
    file = process.open("maps", reader)
    process.exit()
    process.proc.mm = Pages().mm
    assert file.read(100) == b""
    assert process.open("maps", reader).read(100) == b"", "the new one has no VMAs yet"


def test_a_kernel_thread_has_an_empty_file_without_queries() -> None:
    process = Pages()
    process.proc.mm = None
    file = process.open()
    assert file.read(100) == b""
    assert file.statistics() == {}
    with pytest.raises(ProcessLookupError):
        file.query(0)
    file.close()


def test_who_may_not_look_may_not_open() -> None:
    process = Pages()
    process.proc.ptrace_allowed = False
    with pytest.raises(PermissionError) as caught:
        process.open()
    assert caught.value.errno == errno.EACCES


@every_reader
def test_readers_leave_no_count_behind(reader: str) -> None:
    process = Pages()
    process.mmap(0, 4096, RW, ANON)
    process.map(0, 3)
    file = process.open("maps", reader)
    file.read(50)
    read_all(file)
    assert file.query(addr(0)).entry.end == addr(3)
    file.close()
    assert [vma.vm_refcnt.load() for _, _, vma in process.mm.mm_mt] == [1, 1]
    assert process.mm.mm_users.load() == process.mm.mm_count.load() == 1
