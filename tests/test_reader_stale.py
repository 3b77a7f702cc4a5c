"""Who maps deleted files: all who do, and none who only seems to."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from commanded import Commanded
from untorn.cli import main
from untorn.live.reader.mounts import Mounts, memory_devices, read_mounts
from untorn.live.reader.stale import Stale, survey

pytestmark = pytest.mark.live

NEVER_IN_A_DIRECTORY = """
import ctypes, mmap, os, sys
kept = [mmap.mmap(-1, 8192)]
memfd = os.memfd_create("library.so (deleted)")
os.ftruncate(memfd, 8192)
kept.append(mmap.mmap(memfd, 8192))
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
segment = libc.shmget(0, 8192, 0o1600)  # IPC_CREAT
shared = libc.shmat(segment, None, 0)
libc.shmctl(segment, 0, None)  # IPC_RMID
zero = os.open("/dev/zero", os.O_RDWR)
kept.append(mmap.mmap(zero, 8192))
kept.append(mmap.mmap(zero, 8192, mmap.MAP_PRIVATE))
ring = ctypes.c_ulong()
libc.syscall(206, 1, ctypes.byref(ring))  # io_setup: maps "/[aio] (deleted)"
"""


@pytest.fixture
def child() -> Iterator[Commanded]:
    with Commanded() as process:
        yield process


def found_of(child: Commanded) -> list[Stale]:
    return [each for each in survey().found if each.pid == child.pid]


def map_file(child: Commanded, path: Path, pages: int = 2, prot: int = 1) -> int:
    path.write_bytes(bytes(pages << 12))
    at = child.hole(pages)
    child.do(f"put(at, {pages}, {prot}, 2, os.open({str(path)!r}, 0))")
    return at


def test_memory_that_was_never_in_a_directory_is_no_file(child: Commanded) -> None:
    child.do(f"exec({NEVER_IN_A_DIRECTORY!r}, globals())")
    names = Path(f"/proc/{child.pid}/maps").read_text()
    for name in "/dev/zero (deleted)", "/memfd:library.so (deleted) (deleted)", "/SYSV00000000":
        assert name in names
    assert found_of(child) == []


@pytest.mark.parametrize("prot", [1, 5])
def test_a_deleted_file_is_found(child: Commanded, tmp_path: Path, prot: int) -> None:
    file = tmp_path / "library.so"
    map_file(child, file, 2, prot)
    assert found_of(child) == []
    inode = file.stat().st_ino
    file.unlink()
    (found,) = found_of(child)
    assert (found.name, found.inode, found.size) == (os.fsencode(file), inode, 8192)
    assert (found.replaced, found.code) == (False, prot == 5)
    assert found.command.startswith(b"python")


def test_a_replaced_file_is_found_as_such(child: Commanded, tmp_path: Path) -> None:
    file, new = tmp_path / "library.so", tmp_path / "new"
    map_file(child, file)
    new.write_bytes(b"new")
    new.rename(file)
    (found,) = found_of(child)
    assert (found.name, found.replaced) == (os.fsencode(file), True)


def test_a_file_is_told_once_however_often_it_is_mapped(child: Commanded, tmp_path: Path) -> None:
    file = tmp_path / "library.so"
    at = map_file(child, file, 5)
    child.do(f"libc.mprotect({at} + 4096, 4096, 5)")
    file.unlink()
    (found,) = found_of(child)
    assert (found.vmas, found.size, found.code) == (3, 5 << 12, True)


def test_a_file_that_is_called_deleted_is_found_only_when_it_is(
    child: Commanded, tmp_path: Path
) -> None:
    file = tmp_path / "x (deleted)"
    map_file(child, file)
    assert found_of(child) == []
    file.unlink()
    (found,) = found_of(child)
    assert found.name == os.fsencode(file)


def test_what_nfs_keeps_of_a_deleted_file_is_found(child: Commanded, tmp_path: Path) -> None:
    file = tmp_path / ".nfs000000000000000500000001"
    map_file(child, file)
    (found,) = found_of(child)
    assert (found.name, found.replaced) == (os.fsencode(file), None)


def test_the_command_prints_a_line_a_process_and_file(child: Commanded, tmp_path: Path) -> None:
    files = [tmp_path / f"library {number}.so" for number in range(2)]
    for file in files:
        map_file(child, file)
        file.unlink()
    done = CliRunner().invoke(main, ["stale"])
    assert done.exit_code == 0
    lines = [line for line in done.stdout.splitlines() if line.split()[0] == str(child.pid)]
    assert [line.split(maxsplit=5)[2:] for line in lines] == [
        ["deleted", "data", "8KiB", str(file)] for file in files
    ]


def test_the_command_tells_the_same_in_json(child: Commanded, tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"\xff\n")
    map_file(child, file)
    file.unlink()
    done = CliRunner().invoke(main, ["stale", "--json"])
    *told, last = map(json.loads, done.stdout.splitlines())
    assert last["kind"] == "summary"
    assert last["read"] > 0
    mine = [each for each in told if each["pid"] == child.pid]
    assert [os.fsencode(each["name"]) for each in mine] == [os.fsencode(file)]


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to become somebody else")
def test_who_may_not_be_read_is_counted(child: Commanded) -> None:
    code = (
        "import os\n"
        "from untorn.live.reader.stale import survey\n"
        "survey()\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "seen = survey()\n"
        "print(seen.unread['no right to read'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 1


def test_there_is_one_line_where_there_is_no_proc(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["stale", "--proc", str(tmp_path / "none")])
    assert done.exit_code == 1
    assert done.stderr == f"Error: {tmp_path}/none: No such file or directory\n"


def test_memory_has_devices_of_its_own() -> None:
    mounts = read_mounts("/proc/self")
    assert not any(mounts.type_of(device) for device in memory_devices())


def test_mounts_tell_types_and_local_ways() -> None:
    lines = [
        b"1 0 8:1 / / rw - ext4 /dev/sda1 rw",
        b"2 1 0:50 / /mnt/a\\040b rw,relatime shared:1 - nfs4 server:/ rw",
        b"3 2 0:51 / /mnt/a\\040b/c rw - tmpfs none rw",
        b"4 1 0:52 / /huge rw - hugetlbfs none rw,pagesize=1024M",
        b"5 1 8:2 / /fuse rw - fuseblk /dev/sdb rw",
    ]
    mounts = Mounts.of_lines(lines)
    assert [mounts.type_of((0, minor)) for minor in (50, 51, 53)] == ["nfs4", "tmpfs", None]
    assert mounts.page_size_of((0, 52)) == 1 << 30
    assert mounts.page_size_of((0, 51)) == 0
    assert mounts.device_of(3) == (0, 51)
    ways = {
        b"/mnt/x": True,
        b"/mnt/a b": False,
        b"/mnt/a b/x": False,
        b"/mnt/a b/c/x": False,
        b"/mnt/a bc": True,
        b"/fuse/x": False,
        b"/huge/x": True,
    }
    assert {way: mounts.way_is_local(way) for way in ways} == ways
