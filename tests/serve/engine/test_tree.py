"""The tree of the engine's processes, node by node; other tests show it mounted."""

import errno
import os
import stat
import threading

import pytest

from tests.helpers.maps_texts import line
from untorn.fs.proc.files import PROC_FILES
from untorn.maps.page import PAGE_SIZE, PMD_SIZE
from untorn.maps.procmap_query import PROCMAP_QUERY, ProcmapQuery, QueryFlags
from untorn.mm.file import VmFile
from untorn.mm.mman import MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE
from untorn.serve.engine.guest import Guest, Processes, View
from untorn.serve.engine.tree import EngineRoot
from untorn.serve.fuse.node import Caller, Directory, File, OpenFile
from untorn.syscalls import Process

ME = Caller(os.getuid(), os.getgid(), threading.get_native_id())
VMA_FILES = {name.encode() for name in PROC_FILES}
DIRECTORY, FILE = stat.S_IFDIR, stat.S_IFREG


def some_process() -> Process:
    process = Process()
    process.mmap(0, 3 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS)
    return process


def directory(root: Directory, *names: bytes) -> Directory:
    for name in names:
        node = root.lookup(name, ME)
        assert isinstance(node, Directory)
        root = node
    return root


def opened(root: Directory, *names: bytes, caller: Caller = ME) -> OpenFile:
    file = directory(root, *names[:-1]).lookup(names[-1], ME)
    assert isinstance(file, File)
    return file.open(os.O_RDONLY, caller)


def content(root: Directory, *names: bytes) -> bytes:
    file = opened(root, *names)
    text = b""
    while part := file.read(1 << 16, len(text), ME):
        text += part
    file.close()
    return text


def names_in(root: Directory) -> dict[bytes, int]:
    return {entry.name: stat.S_IFMT(entry.mode) for entry in root.entries(ME)}


def refused(number: int) -> "pytest.RaisesExc[OSError]":
    return pytest.raises(OSError, match=os.strerror(number))


def test_there_is_a_directory_for_each_process_and_thread() -> None:
    process = some_process()
    guest = Guest(process, comm=b"a program of a guest", cmdline=[b"a", b"-b"], tids=[70, 10])
    root = EngineRoot({7: guest, 12: some_process()})
    assert list(names_in(root).items()) == [(b"7", DIRECTORY), (b"12", DIRECTORY)]
    files = dict.fromkeys(VMA_FILES | {b"pagemap"}, FILE)
    assert names_in(directory(root, b"12")) == {**files, b"task": DIRECTORY}
    more = {b"task": DIRECTORY, b"comm": FILE, b"cmdline": FILE}
    assert names_in(directory(root, b"7")) == {**files, **more}
    task = directory(root, b"7", b"task")
    assert list(names_in(task)) == [b"7", b"10", b"70"]
    del files[b"smaps_rollup"]
    assert names_in(directory(task, b"70")) == files
    with process.open() as maps:
        assert content(task, b"70", b"maps") == content(root, b"7", b"maps") == maps.read(4096)
    assert content(root, b"7", b"comm") == b"a program of a \n"
    assert content(root, b"7", b"cmdline") == b"a\0-b\0"


def test_what_is_asked_for_twice_is_the_same() -> None:
    processes: dict[int, Process | Guest] = {
        7: Guest(some_process(), cmdline=[b"a"]),
        12: some_process(),
    }
    root = EngineRoot(processes)
    for names in ([b"7"], [b"12"], [b"12", b"task"], [b"12", b"task", b"12"]):
        assert len({directory(root, *names), directory(root, *names)}) == 1
    assert directory(root, b"7").lookup(b"maps", ME) == directory(root, b"7").lookup(b"maps", ME)
    before = directory(root, b"12")
    processes[12] = some_process()
    assert directory(root, b"12") != before
    assert directory(root, b"12") != directory(root, b"12", b"task", b"12")


@pytest.mark.parametrize("name", [b"8", b"07", b"+7", b" 7", b"7 ", b"", b"0", b"self"])
def test_other_names_mean_nothing(name: bytes) -> None:
    root = EngineRoot({7: some_process()})
    for folder in root, directory(root, b"7"), directory(root, b"7", b"task"):
        with refused(errno.ENOENT):
            folder.lookup(name, ME)


@pytest.mark.parametrize("strategy", ["mmap_lock", "vma_lock", "rcu"])
def test_each_file_says_what_it_says_in_the_engine(strategy: str) -> None:
    process = some_process()
    root = EngineRoot({1: process}, View(strategy))
    for name, file in PROC_FILES.items():
        reader = strategy if strategy in file.lockings else "mmap_lock"
        with process.open(name, reader) as own:
            assert content(root, b"1", name.encode()) == own.read(1 << 16)


def test_pages_are_shown_with_their_frames_to_those_who_may() -> None:
    process = some_process()
    start = process.mmap(0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS)
    process.touch(start, write=True)
    file = opened(EngineRoot({1: process}), b"1", b"pagemap")
    own = process.open_pagemap()
    place = start // PAGE_SIZE * 8
    shown = file.read(8, place, ME)
    if os.geteuid() == 0:
        assert shown == own.read_at(place, 8)
    assert shown[7] & 0x80
    with refused(errno.EINVAL):
        file.read(7, place, ME)
    file.close()
    own.close()


def test_who_is_not_reached_is_answered_without_a_name() -> None:
    process = Process()
    process.files[3] = VmFile(b"/file")
    start = process.mmap(0, PAGE_SIZE, PROT_READ, MAP_PRIVATE, 3)
    root, unseen = EngineRoot({1: process}), Caller(*ME[:2], tid=0)
    maps = opened(root, b"1", b"maps")
    question = ProcmapQuery(query_flags=QueryFlags.COVERING_OR_NEXT_VMA)
    told = maps.ioctl(PROCMAP_QUERY, 1 << 16, question.pack(), unseen)
    answer = ProcmapQuery.unpack(told.data)
    assert (answer.vma_start, answer.vma_end) == (start, start + PAGE_SIZE)
    named = question._replace(vma_name_size=9, vma_name_addr=1 << 20)
    told = maps.ioctl(PROCMAP_QUERY, 1 << 16, named.pack(), unseen)
    assert told == (b"", -errno.ESRCH)
    maps.close()


def test_files_are_only_read() -> None:
    maps = directory(EngineRoot({1: some_process()}), b"1").lookup(b"maps", ME)
    assert isinstance(maps, File)
    for flags in os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC:
        with refused(errno.EACCES):
            maps.open(flags, ME)


def test_a_zombie_has_no_memory_and_who_is_reaped_is_gone() -> None:
    process = some_process()
    processes: Processes = {1: Guest(process, comm=b"a", cmdline=[b"b"])}
    root = EngineRoot(processes)
    folder, task = directory(root, b"1"), directory(root, b"1", b"task")
    maps, early = folder.lookup(b"maps", ME), opened(root, b"1", b"maps")
    process.exit()
    for name in VMA_FILES - {b"smaps_rollup"} | {b"cmdline"}:
        assert content(root, b"1", name) == b""
    assert content(root, b"1", b"comm") == b"a\n"
    for name in b"smaps_rollup", b"pagemap":
        with refused(errno.ESRCH):
            opened(root, b"1", name)
    process.reap()
    assert names_in(root) == names_in(folder) == names_in(task) == {}
    with refused(errno.ENOENT):
        root.lookup(b"1", ME)
    assert isinstance(maps, File)
    for look in (
        lambda: folder.lookup(b"maps", ME),
        lambda: maps.open(os.O_RDONLY, ME),
        lambda: early.read(100, 0, ME),
    ):
        with refused(errno.ESRCH):
            look()
    early.close()


def test_what_is_not_modelled_is_an_error_of_the_call() -> None:
    start = 0x7F10_0000_0000
    text = line(start, PMD_SIZE, b"/dev/dax0.0", b"rw-s", minor=6, inode=99)
    root = EngineRoot({1: Process.from_maps(text)})
    with pytest.raises(OSError, match="smaps") as failed:
        content(root, b"1", b"smaps")
    assert failed.value.errno == errno.EOPNOTSUPP
    question = ProcmapQuery(query_addr=start).pack()
    with pytest.raises(OSError, match="PROCMAP_QUERY") as failed:
        opened(root, b"1", b"maps").ioctl(PROCMAP_QUERY, 8, question, ME)
    assert failed.value.errno == errno.EOPNOTSUPP
    with pytest.raises(OSError, match="pagemap") as failed:
        opened(root, b"1", b"pagemap").read(8, start // PAGE_SIZE * 8, ME)
    assert failed.value.errno == errno.EOPNOTSUPP
