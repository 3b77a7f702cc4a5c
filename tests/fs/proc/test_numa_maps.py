"""/proc/PID/numa_maps of the engine: its text, and readers with concurrent writers."""

import errno

import pytest

from tests.helpers.engine import ANON, FIXED, RW, Pages, addr, read_all, text_of
from untorn.errors import NotModelledError
from untorn.fs.proc.files import PROC_FILES
from untorn.locking import lockdep
from untorn.mm.file import VmFile
from untorn.mm.mm_types import MmStruct
from untorn.mm.mman import MAP_POPULATE, MAP_PRIVATE, MAP_SHARED, PROT_READ
from untorn.race.random_writer import RandomWriter
from untorn.race.record import RecordedMm
from untorn.syscalls import Process

READERS = sorted(PROC_FILES["numa_maps"].lockings)
every_reader = pytest.mark.parametrize("reader", READERS)


def test_the_strategies_are_those_that_keep_a_vma_still() -> None:
    assert READERS == ["mmap_lock", "vma_lock"]


@every_reader
def test_pages_are_counted_by_what_they_are(reader: str) -> None:
    process = Pages()
    process.files[3] = VmFile(b"/a file")
    process.map(0, 4, RW, FIXED | MAP_POPULATE)
    process.map(4, 5, PROT_READ)
    process.map(5, 7, RW, MAP_PRIVATE | FIXED & ~ANON, fd=3)
    process.touch(addr(5), write=True)
    process.touch(addr(6), write=False)
    process.map(8, 9, RW, MAP_SHARED | FIXED & ~ANON, fd=3)
    process.touch(addr(8), write=False)
    assert text_of(process, "numa_maps", reader) == (
        b"00010000 default anon=4 dirty=4 N0=4 kernelpagesize_kB=4\n"
        b"00014000 default\n"
        b"00015000 default file=/a\\040file anon=1 dirty=1 mapped=2 N0=2 kernelpagesize_kB=4\n"
        b"00018000 default file=/a\\040file mapped=1 N0=1 kernelpagesize_kB=4\n"
    )
    child = process.fork()
    child.touch(addr(1), write=True)
    first = text_of(process, "numa_maps", reader).splitlines()[0]
    assert first == b"00010000 default anon=4 dirty=4 mapmax=2 N0=4 kernelpagesize_kB=4"


def test_characters_that_would_end_a_field_are_escaped() -> None:
    process = Pages()
    process.files[3] = VmFile(b"/a=b\tc\nd\\")
    process.map(0, 1, RW, MAP_SHARED | FIXED & ~ANON, fd=3)
    assert text_of(process, "numa_maps") == b"00010000 default file=/a\\075b\\011c\\012d\\\n"


def test_heap_and_stack_are_told_and_names_of_other_memory_are_not() -> None:
    text = (
        b"7f0000000000-7f0000001000 rw-p 00000000 00:00 0                          [heap]\n"
        b"7f0000010000-7f0000011000 rw-p 00000000 00:00 0                          [anon:a]\n"
        b"7f0000020000-7f0000022000 r-xp 00000000 00:00 0                          [vdso]\n"
        b"7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0                          [stack]\n"
    )
    lines = read_all(Process.from_maps(text).open("numa_maps")).splitlines()
    assert [line.split()[2:3] for line in lines] == [[b"heap"], [], [], [b"stack"]]


def test_the_gate_vma_has_no_line() -> None:
    process = Process(MmStruct())
    assert text_of(process)
    assert text_of(process, "numa_maps") == b""


def test_what_only_a_driver_knows_is_refused() -> None:
    process = Process.from_maps(
        b"7f0000000000-7f0000001000 rw-s 00000000 00:06 5                          /dev/gpu0\n"
    )
    with pytest.raises(NotModelledError, match=r"^numa_maps: 7f0000000000"):
        process.open("numa_maps").read(100)


def test_it_cannot_be_queried_nor_read_by_copies() -> None:
    process = Pages()
    with pytest.raises(OSError, match="ioctl") as caught:
        process.open("numa_maps").query(addr(0))
    assert caught.value.errno == errno.ENOTTY
    with pytest.raises(ValueError, match=r"no reader rcu; readers: mmap_lock, vma_lock$"):
        process.open("numa_maps", "rcu")


@every_reader
def test_each_fill_shows_the_map_as_it_stands_while_it_is_read(reader: str) -> None:
    process = Process(RecordedMm())
    writer = RandomWriter("numa_maps")
    site = writer.site(writer.set_up(process))
    file = process.open("numa_maps", reader)
    for _ in range(20):
        file.seek(0)
        text = b"-"
        while text:
            writer.modify(process, site)
            starts = {start for start, _, _ in process.mm.mm_mt}
            text = file.read(1 << 16)
            assert {int(line.split()[0], 16) for line in text.splitlines()} <= starts
    lockdep.assert_nothing_held()
    assert {vma.vm_refcnt.load() for _, _, vma in process.mm.mm_mt} == {1}
