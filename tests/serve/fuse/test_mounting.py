"""What is mounted and unmounted, and what is left alone."""

import errno
import shutil
from pathlib import Path

import pytest

from tests.helpers.fuse_mount import mounts
from tests.helpers.mounted import run_with_mounts
from tests.helpers.nobody import BECOME_NOBODY, as_root
from tests.helpers.served_tree import ServedTree
from untorn.serve.fuse import mounting
from untorn.serve.fuse.mounting import clear_directory, mount_fuse, new_source

pytestmark = [pytest.mark.live, mounts]

BEGIN = """
import stat
from pathlib import Path
from untorn.serve.fuse import mount_calls
from untorn.serve.fuse.mounting import (
    clear_directory, detach_all, mount_fuse, mount_points, mount_real, new_source
)

def points(*names):
    return [str(Path(name).absolute()) for name in names]

def mount_there(name):
    source = new_source()
    return source, mount_fuse(str(Path(name).absolute()), source)

for name in "one", "two", "three":
    Path(name).mkdir()
"""
COPIES = """
source, _ = mount_there("one")
other, _ = mount_there("two")
mount("--rbind", "one", "three")
mount("-t", "tmpfs", "covers", "one")
assert sorted(mount_points(source)) == sorted(points("one", "three"))
assert detach_all(source) == []
assert mount_points(source) == []
assert mount_points(other) == points("two")
assert not os.path.ismount("one")
"""
COVERED = """
Path("one/deep").mkdir()
source, _ = mount_there("one/deep")
mount("-t", "tmpfs", "covers", "one")
Path("one/deep").mkdir()
mount("-t", "tmpfs", "a stranger", "one/deep")
assert detach_all(source) == points("one/deep")
assert os.path.ismount("one/deep")
"""
MOVED = """
source, _ = mount_there("one")
mount("--move", "one", "two")
assert mount_points(source) == points("two")
assert detach_all(source) == []
"""
DEAD = """
source, fuse = mount_there("one")
mount("--rbind", "one", "two")
os.close(fuse)
clear_directory("one")
assert mount_points(source) == []
fuse = os.open("/dev/fuse", os.O_RDWR)
mount_calls.mount("x", "one", "fuse.other", 0, f"fd={fuse},rootmode=40000,user_id=0,group_id=0")
os.close(fuse)
clear_directory("one")
"""
REAL = """
mount("-t", "tmpfs", "parent", "one")
mount("--make-shared", "one")
Path("one/proc").mkdir()
mount("-t", "proc", "proc", "one/proc")
mount("-t", "tmpfs", "inner", "one/proc/sys")
mount_real("one/proc", "two")
assert Path("two/self").readlink() == Path("/proc/self").readlink()
assert os.path.ismount("two/sys")
subprocess.run(["umount", "--recursive", "two"], check=True)
assert os.path.ismount("one/proc/sys")
"""
FOR_NOBODY = f"""
mount("-t", "tmpfs", "-o", "mode=755", "everybody may walk", "/tmp")
os.chdir("/tmp")
os.mknod("fuse", 0o666 | stat.S_IFCHR, os.makedev(10, 229))
os.chmod("fuse", 0o666)
mount("--bind", "fuse", "/dev/fuse")
os.mkdir("mine")
os.chown("mine", 65534, 65534)
{BECOME_NOBODY}
source, fuse = mount_there("mine")
assert mount_points(source) == points("mine")
assert detach_all(source) == []
"""


def run(program: str, tmp_path: Path) -> None:
    run_with_mounts(BEGIN + program, tmp_path)


def test_copies_and_what_stands_on_them_are_detached_and_nothing_else(tmp_path: Path) -> None:
    run(COPIES, tmp_path)


def test_what_covers_the_way_to_a_mount_is_left_alone(tmp_path: Path) -> None:
    run(COVERED, tmp_path)


def test_a_mount_is_found_where_it_was_moved(tmp_path: Path) -> None:
    run(MOVED, tmp_path)


def test_what_the_dead_left_is_taken_away(tmp_path: Path) -> None:
    run(DEAD, tmp_path)


def test_what_is_unmounted_below_the_copy_of_procfs_stays_on_procfs(tmp_path: Path) -> None:
    run(REAL, tmp_path)


@as_root
def test_who_may_not_mount_gets_it_by_fusermount3(tmp_path: Path) -> None:
    if shutil.which("fusermount3") is None:
        pytest.skip("there is no fusermount3")
    run(FOR_NOBODY, tmp_path)


def test_it_is_mounted_once(tmp_path: Path) -> None:
    with ServedTree(tmp_path), pytest.raises(OSError, match="already mounted there") as raised:
        clear_directory(str(tmp_path))
    assert raised.value.errno == errno.EBUSY


@pytest.mark.parametrize(("name", "expected"), [("none", errno.ENOENT), ("file", errno.ENOTDIR)])
def test_it_takes_a_directory(tmp_path: Path, name: str, expected: int) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=name) as raised:
        clear_directory(str(tmp_path / name))
    assert raised.value.errno == expected


def test_a_directory_of_a_process_is_refused() -> None:
    with pytest.raises(OSError, match="procfs") as raised:
        clear_directory("/proc/self")
    assert raised.value.errno == errno.EINVAL


def test_a_machine_without_fuse_is_told_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounting, "DEVICE", str(tmp_path / "fuse"))
    with pytest.raises(FileNotFoundError, match="fuse"):
        mount_fuse(str(tmp_path), new_source())
