"""Processes of the engine as a /proc, seen by programs that know nothing of it."""

import fcntl
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.file_client import FileClient, Operation, Result
from tests.helpers.file_operations import OPERATIONS
from tests.helpers.fuse_mount import mounted
from tests.helpers.procmap_client import answers_of, build_procmap_client
from tests.helpers.tasks import wait_until
from tests.helpers.this_machine import asks
from tests.helpers.waiting_programs import FEW_VMAS, MANY_VMAS, waiting
from tests.serve.engine.twin import twin_of
from untorn.fs.proc.files import PROC_FILES
from untorn.fs.proc.maps_locking import MAPS_LOCKINGS
from untorn.maps.maps_file import MapsFile
from untorn.maps.page import PAGE_SIZE, TASK_SIZE
from untorn.maps.pagemap import PAGE_IS_GUARD, PAGE_IS_PRESENT, PAGEMAP_SCAN, PmScanArg
from untorn.mm.file import VmFile
from untorn.mm.mman import (
    MADV_GUARD_INSTALL,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    PROT_READ,
    PROT_WRITE,
)
from untorn.mm.mmap_lock import mmap_write_lock, mmap_write_unlock
from untorn.reader.access.gentle import Holds
from untorn.reader.access.pagemap import LivePagemap
from untorn.serve.engine.guest import Guest, View
from untorn.serve.engine.tree import EngineRoot
from untorn.syscalls import Process

pytestmark = pytest.mark.live

RW, ANON = PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS
START = 0x10_0000


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    place = tmp_path / "proc"
    place.mkdir()
    return place


def a_process(vmas: int = 150) -> Process:
    """Return a process with many VMAs, whose lines and names have many lengths."""
    process = Process()
    for number in range(vmas):
        process.files[number] = VmFile(b"/" + b"x" * (number * 7 % 300), inode=number * number)
        where = START + 2 * number * PAGE_SIZE
        process.mmap(where, PAGE_SIZE, RW, MAP_PRIVATE | MAP_FIXED, number)
        process.touch(where, write=number % 2 == 0)
    return process


class Asked(NamedTuple):
    """Return the answers of the kernel's own maps to a client."""

    client: Path
    pid: int
    answers: list[str]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    client = build_procmap_client(tmp_path_factory.mktemp("client"))
    with waiting(FEW_VMAS) as pid:
        yield Asked(client, pid, answers_of(client, Path(f"/proc/{pid}")))


@asks
@pytest.mark.parametrize("strategy", MAPS_LOCKINGS)
def test_who_asks_gets_the_answers_of_the_kernel(
    strategy: str, asked: Asked, directory: Path
) -> None:
    with mounted(EngineRoot({1: twin_of(asked.pid)}, View(strategy)), directory):
        assert answers_of(asked.client, directory / "1") == asked.answers


def test_any_reads_return_what_the_files_of_the_engine_return(directory: Path) -> None:
    process = a_process()
    names = st.sampled_from([*PROC_FILES])

    with FileClient() as client, mounted(EngineRoot({1: process}), directory):

        @settings(max_examples=60)
        @given(names, OPERATIONS)
        def check(name: str, operations: list[Operation]) -> None:
            told = client.play(directory / "1" / name, operations)
            with process.open(name) as file:
                assert told == [result_of(file, *operation) for operation in operations]

        check()


def test_any_reads_return_what_the_kernel_returns(directory: Path) -> None:
    with (
        waiting(MANY_VMAS) as pid,
        FileClient() as client,
        mounted(EngineRoot({1: twin_of(pid)}), directory),
    ):
        paths = Path(f"/proc/{pid}/maps"), directory / "1/maps"

        @settings(max_examples=60)
        @given(OPERATIONS)
        def check(operations: list[Operation]) -> None:
            real, told = (client.play(path, operations) for path in paths)
            assert told == real

        check()


def result_of(file: MapsFile, kind: str, first: int, second: int) -> Result:
    try:
        match kind:
            case "read":
                return file.read(first)
            case "pread":
                return file.pread(first, second)  # type: ignore[attr-defined, no-any-return]
            case _:
                return file.seek(first, second)
    except OSError as error:
        return os.strerror(error.errno or 0)


@pytest.mark.parametrize("strategy", MAPS_LOCKINGS)
def test_tools_show_what_the_engine_shows(strategy: str, directory: Path) -> None:
    process = a_process()
    commands: list[tuple[Callable[[bytes], bytes], list[str]]] = [
        (lambda text: text, ["cat"]),
        (lambda text: text, ["dd", "status=none", "bs=100"]),
        (lambda text: text[70:100], ["dd", "status=none", "bs=10", "skip=7", "count=3"]),
        (lambda text: b"".join(reversed(text.splitlines(keepends=True))), ["tac"]),
        (lambda text: text[-1000:], ["tail", "-c1000"]),
    ]
    with mounted(EngineRoot({1: process}, View(strategy)), directory):
        for name, file in PROC_FILES.items():
            reader = strategy if strategy in file.lockings else "mmap_lock"
            with process.open(name, reader) as own:
                text = b"".join(own.fills())
            path = directory / ("1" if name == "smaps_rollup" else "1/task/1") / name
            for expected, command in commands:
                with path.open("rb") as shown:
                    told = subprocess.run(command, stdin=shown, capture_output=True, check=True)
                assert told.stdout == expected(text), (name, command)


def test_pages_are_told_and_scanned(directory: Path) -> None:
    process = a_process(6)
    process.madvise(START + 2 * PAGE_SIZE, PAGE_SIZE, MADV_GUARD_INSTALL)
    holds = Holds(gentle=False)
    with (
        mounted(EngineRoot({1: process}), directory),
        closing(process.open_pagemap()) as own,
        closing(LivePagemap(str(directory / "1"), holds, holds)) as told,
    ):
        place = START // PAGE_SIZE * 8
        for size, offset in (8, place), (256, place - 80), (1 << 20, place):
            assert told.read_at(offset, size) == own.read_at(offset, size)
        wanted = PAGE_IS_PRESENT | PAGE_IS_GUARD
        question = PmScanArg(0, 0, category_anyof_mask=wanted, return_mask=wanted)
        for end, room in (TASK_SIZE, 100), (TASK_SIZE, 2), (START + PAGE_SIZE, 100):
            question = question._replace(end=end, vec_len=room)
            assert told.scan(question) == own.scan(question)
            assert told.scan(question).regions
        with pytest.raises(OSError, match="Invalid argument"):
            told.scan(PmScanArg(1, 2, vec_len=1))


def test_a_scan_that_fails_tells_how_far_it_came(directory: Path) -> None:
    with mounted(EngineRoot({1: a_process(6)}), directory):
        present = PAGE_IS_PRESENT
        question = PmScanArg(0, TASK_SIZE, present, return_mask=present, vec=8, vec_len=2)
        answer = bytearray(question.pack())
        with (
            (directory / "1/pagemap").open("rb") as file,
            pytest.raises(OSError, match="Bad address"),
        ):
            fcntl.ioctl(file, PAGEMAP_SCAN, answer)
        assert PmScanArg.unpack(answer).walk_end > START


def test_a_process_comes_changes_its_memory_and_goes(directory: Path) -> None:
    processes = {1: a_process()}
    with mounted(EngineRoot(processes), directory):
        assert [path.name for path in directory.iterdir()] == ["1"]
        processes[20] = second = Process()
        second.mmap(START, PAGE_SIZE, RW, ANON | MAP_FIXED)
        assert sorted(path.name for path in directory.iterdir()) == ["1", "20"]
        line = (directory / "20/maps").read_bytes().splitlines()[0]
        assert line.startswith(b"00100000-00101000 rw-p ")
        second.mmap(START + PAGE_SIZE, PAGE_SIZE, RW, ANON | MAP_FIXED)
        with (directory / "20/maps").open("rb", buffering=0) as kept:
            assert kept.read(18) == b"00100000-00102000 "
            second.exit()
            assert (directory / "20/maps").read_bytes() == b""
            with pytest.raises(ProcessLookupError):
                (directory / "20/smaps_rollup").open("rb")
            held = os.open(directory / "20", os.O_RDONLY)
            second.reap()
            assert not (directory / "20").exists()
            with pytest.raises(ProcessLookupError):
                os.open("maps", os.O_RDONLY, dir_fd=held)
            os.close(held)
            assert kept.read(4096) == line[18:] + b"\n"
            with pytest.raises(ProcessLookupError):
                kept.read(4096)
        processes[20] = a_process(1)
        assert (directory / "20/maps").read_bytes().startswith(b"00100000-00101000 ")


def test_who_waits_for_a_lock_of_the_engine_holds_up_nobody(directory: Path) -> None:
    busy, idle = a_process(), a_process()
    processes: dict[int, Process | Guest] = {1: Guest(busy, comm=b"busy"), 2: idle}
    with idle.open() as own:
        text = b"".join(own.fills())
    with mounted(EngineRoot(processes, View("mmap_lock")), directory):
        mmap_write_lock(busy.mm)
        try:
            reader = subprocess.Popen(["cat", directory / "1/maps"], stdout=subprocess.DEVNULL)
            wait_until(lambda: waits_in_read(reader.pid))
            assert (directory / "1/comm").read_bytes() == b"busy\n"
            assert (directory / "2/maps").read_bytes() == text
            reader.send_signal(signal.SIGKILL)
            assert reader.wait(60) == -signal.SIGKILL
        finally:
            mmap_write_unlock(busy.mm)


def waits_in_read(pid: int) -> bool:
    """Return whether a program waits for a file that it opened itself."""
    return Path(f"/proc/{pid}/syscall").read_bytes().startswith(b"0 0x3 ")


@pytest.mark.parametrize("strategy", MAPS_LOCKINGS)
def test_what_stays_mapped_is_always_shown(strategy: str, directory: Path) -> None:
    process, ended = a_process(), threading.Event()

    def change() -> None:
        where = START + PAGE_SIZE
        while not ended.is_set():
            process.mmap(where, PAGE_SIZE, RW, ANON | MAP_FIXED)
            process.munmap(where, PAGE_SIZE)

    writer = threading.Thread(target=change)
    with process.open() as own:
        stays = {line for line in b"".join(own.fills()).splitlines() if b"/x" in line}
    with mounted(EngineRoot({1: process}, View(strategy)), directory):
        writer.start()
        try:
            for _ in range(10):
                told = subprocess.run(
                    ["cat", directory / "1/maps"], capture_output=True, check=True
                ).stdout
                assert stays <= set(told.splitlines())
        finally:
            ended.set()
            writer.join()
