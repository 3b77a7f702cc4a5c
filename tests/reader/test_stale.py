"""Processes that map deleted files: all that do, and none that only seems to."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import untorn
from tests.helpers.commanded import Commanded
from tests.helpers.entries import record
from tests.helpers.nobody import BECOME_NOBODY, as_root
from untorn import Stale
from untorn import stale as survey
from untorn.cli import main
from untorn.errors import OutOfReachError
from untorn.maps.fields import Device
from untorn.reader.files.mapped_file import MappedFiles
from untorn.reader.files.mounts import Mounts, memory_devices, read_mounts

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


def test_a_file_that_never_had_a_name_is_not_found(child: Commanded, tmp_path: Path) -> None:
    at = child.hole(1)
    fd = child.do(f"print(os.open({str(tmp_path)!r}, os.O_TMPFILE | os.O_RDWR, 0o600))")
    if not fd:
        pytest.skip("this file system has no O_TMPFILE")
    child.do(f"os.ftruncate({fd}, 4096); put(at, 1, 1, 1, {fd})")
    found = untorn.snapshot(child.pid).find(at)
    assert found
    assert found.deleted
    assert found_of(child) == []


def test_a_file_that_a_link_replaced_is_found_as_such(child: Commanded, tmp_path: Path) -> None:
    file = tmp_path / "library.so"
    map_file(child, file)
    file.unlink()
    file.symlink_to("library.so.2")
    assert [each.replaced for each in found_of(child)] == [True]


def test_a_folder_that_became_a_link_is_followed(child: Commanded, tmp_path: Path) -> None:
    file = tmp_path / "lib/library.so"
    file.parent.mkdir()
    map_file(child, file)
    file.unlink()
    file.parent.rename(tmp_path / "lib64")
    (tmp_path / "lib").symlink_to("lib64")
    assert [each.replaced for each in found_of(child)] == [False]
    (tmp_path / "lib64/library.so").touch()
    # maps shows the file's name in the folder's present name.
    assert [each.replaced for each in found_of(child)] == [True]


def test_a_long_name_that_ends_in_deleted_is_looked_up(child: Commanded, tmp_path: Path) -> None:
    child.do(f"os.chdir({str(tmp_path)!r})")
    child.do("for n in range(25): os.mkdir('d' * 200); os.chdir('d' * 200)")
    at = child.hole(1)
    child.do("fd = os.open('x (deleted)', os.O_RDWR | os.O_CREAT); os.ftruncate(fd, 4096)")
    child.do("put(at, 1, 1, 1, fd)")
    found = untorn.snapshot(child.pid).find(at)
    assert found
    assert len(found.name) > 4096
    assert found_of(child) == []
    child.do("os.unlink('x (deleted)')")
    (gone,) = found_of(child)
    assert (gone.name, gone.replaced) == (found.name, False)


def test_a_process_without_a_name_has_a_column_for_it(child: Commanded, tmp_path: Path) -> None:
    file = tmp_path / "library.so"
    map_file(child, file)
    file.unlink()
    child.do("libc.syscall(157, 15, b'')")  # prctl, PR_SET_NAME
    lines = CliRunner().invoke(main, ["stale"]).stdout.splitlines()
    columns = next(line.split() for line in lines if line.split()[0] == str(child.pid))
    assert columns[1:4] == ["-", "deleted", "data"]


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


@as_root
def test_who_may_not_be_read_is_counted(child: Commanded) -> None:
    code = (
        "import os\n"
        "from untorn import stale as survey\n"
        "survey()\n"
        f"{BECOME_NOBODY}\n"
        "seen = survey()\n"
        "print(seen.unread['no right to read'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 1


def test_there_is_one_line_where_there_is_no_proc(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["stale", "--proc", str(tmp_path / "none")])
    assert done.exit_code == 1
    assert done.stderr == f"Error: {tmp_path}/none/self: No such file or directory\n"
    assert CliRunner().invoke(main, ["stale", "--proc", "/etc"]).exit_code == 1


def test_memory_is_known_by_its_device_where_memfd_create_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(name: str, flags: int) -> int:
        raise PermissionError

    usual = memory_devices()
    memory_devices.cache_clear()
    monkeypatch.setattr(os, "memfd_create", refuse)
    try:
        (device,) = memory_devices()
    finally:
        memory_devices.cache_clear()
    assert usual[device] == os.sysconf("SC_PAGE_SIZE")


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
        b"6 1 0:53 / /ca\rriage rw - tmpfs none rw",
        b"no such line",
        b"7 1 0:54 / /over rw - overlay none rw,lowerdir=/a:/b\\040c,upperdir=/fuse/u,workdir=/w",
    ]
    mounts = Mounts.of_lines(lines)
    assert [mounts.type_of(Device(0, minor)) for minor in (50, 51, 53, 99)] == [
        *("nfs4", "tmpfs", "tmpfs", None)
    ]
    assert mounts.layers_of(Device(0, 54)) == (b"/a", b"/b c", b"/fuse/u")
    assert mounts.layers_of(Device(0, 50)) == ()
    assert mounts.page_size_of(Device(0, 52)) == 1 << 30
    assert mounts.page_size_of(Device(0, 51)) == 0
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
    assert not Mounts.of_lines(lines[1:]).way_is_local(b"/mnt/x")  # there is no root


def test_an_overlay_of_what_may_wait_may_wait() -> None:
    files = MappedFiles("/proc/self", os.getpid(), "/proc")
    root = b"1 0 8:1 / / rw - ext4 /dev/sda1 rw"
    remote = b"2 1 0:50 / /remote rw - fuse.silent none rw"
    for lower, layers in (b"/remote/l:/x", "over one that may wait"), (b"/x:/y", "no path"):
        over = b"3 1 0:54 / /over rw - overlay none rw,lowerdir=%s,upperdir=/u,workdir=/w" % lower
        files.mounts = files.our_mounts = Mounts.of_lines([root, remote, over])
        entry = record(0, 4096, b"r--p", 0, (0, 54), 5, b"not a path")
        with pytest.raises(OutOfReachError, match=layers), files.find(entry):
            pass
