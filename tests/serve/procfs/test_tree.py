"""The tree as programs see it, beside the kernel's own."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.helpers.fuse_mount import require_mounts
from untorn.serve.host.host import Host

SLEEPER = (
    "import threading, time\n"
    "threading.Thread(target=time.sleep, args=(600,)).start()\n"
    "print('ready', flush=True)"
)
PROC = Path("/proc")
OF_THE_PROCESS = ("stat", "status", "statm", "cmdline", "comm", "environ", "limits", "cgroup", "io")
MAPS = ("maps", "smaps", "smaps_rollup", "numa_maps")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    require_mounts()
    from untorn.serve.mount import mounted_proc

    place = tmp_path_factory.mktemp("proc")
    with closing(Host(max_age=0, max_hold=60)) as host, mounted_proc(str(place), host):
        yield place


@pytest.fixture(scope="module")
def sleeper() -> Iterator[int]:
    """A process with two threads that stands still."""
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE) as made:
        assert made.stdout
        assert made.stdout.readline() == b"ready\n"
        yield made.pid
        made.kill()


def thread_of(pid: int) -> str:
    return max(path.name for path in (PROC / str(pid) / "task").iterdir())


def assert_equal(ours: Path, theirs: Path) -> None:
    """Compare until the kernel's stands still: shared values change when others do."""
    for _ in range(200):
        before, shown, after = theirs.read_bytes(), ours.read_bytes(), theirs.read_bytes()
        if before == shown == after:
            return
    assert shown == before


@pytest.mark.parametrize("name", MAPS)
def test_maps_are_equal_to_the_kernels(tree: Path, sleeper: int, name: str) -> None:
    assert_equal(tree / str(sleeper) / name, PROC / str(sleeper) / name)
    if name != "smaps_rollup":
        of_thread = f"{sleeper}/task/{thread_of(sleeper)}/{name}"
        assert_equal(tree / of_thread, PROC / of_thread)


@pytest.mark.parametrize("name", OF_THE_PROCESS)
def test_all_else_is_the_kernels_own(tree: Path, sleeper: int, name: str) -> None:
    assert (tree / f"{sleeper}/{name}").read_bytes() == (PROC / f"{sleeper}/{name}").read_bytes()
    of_thread = f"{sleeper}/task/{thread_of(sleeper)}/{name}"
    assert (tree / of_thread).read_bytes() == (PROC / of_thread).read_bytes()


@pytest.mark.parametrize("path", ["stat", "uptime", "{}/stat", "{}/status", "{}/io", "{}/cmdline"])
def test_some_are_no_links_to_who_wants_none(tree: Path, sleeper: int, path: str) -> None:
    path = path.format(sleeper)
    flags = os.O_RDONLY | os.O_NOFOLLOW
    for root in tree, PROC:
        file = os.open(root / path, flags)
        try:
            assert stat.S_ISREG(os.fstat(file).st_mode)
            assert os.read(file, 3) == (PROC / path).read_bytes()[:3]
            if not path.endswith("cmdline"):  # cmdline is no seq_file
                with pytest.raises(OSError, match="Invalid argument"):
                    os.lseek(file, 0, os.SEEK_END)
        finally:
            os.close(file)
    assert stat.S_ISREG((tree / path).lstat().st_mode)


def names(path: Path) -> set[str]:
    return {each.name for each in path.iterdir()}


def test_the_same_names_are_there(tree: Path, sleeper: int) -> None:
    assert names(tree / str(sleeper)) == names(PROC / str(sleeper))
    assert names(tree / f"{sleeper}/task") == names(PROC / f"{sleeper}/task")
    assert {str(sleeper), "1", "self", "meminfo", "sys"} <= names(tree)
    assert ".real" not in names(tree)


def test_processes_and_threads_are_directories_of_their_owner(tree: Path, sleeper: int) -> None:
    with os.scandir(tree) as entries:
        assert {each.name: each.is_dir(follow_symlinks=False) for each in entries}[str(sleeper)]
    for path in str(sleeper), f"{sleeper}/task", f"{sleeper}/task/{thread_of(sleeper)}":
        ours, theirs = (tree / path).lstat(), (PROC / path).lstat()
        assert (ours.st_mode, ours.st_uid, ours.st_nlink) == (
            *(theirs.st_mode, theirs.st_uid, theirs.st_nlink),
        )
        os.close(os.open(tree / path, os.O_DIRECTORY | os.O_NOFOLLOW))


@pytest.mark.parametrize("name", ["exe", "cwd", "root"])
def test_links_say_what_the_kernels_say_and_lead_where_they_lead(
    tree: Path, sleeper: int, name: str
) -> None:
    ours, theirs = tree / str(sleeper) / name, PROC / str(sleeper) / name
    for _ in range(2):
        assert ours.readlink() == theirs.readlink()
        assert ours.stat() == theirs.stat()
    itself = os.open(ours, os.O_PATH | os.O_NOFOLLOW)
    try:
        assert os.readlink("", dir_fd=itself) == str(theirs.readlink())
    finally:
        os.close(itself)


def test_the_program_of_a_process_is_found_though_it_was_deleted(
    tree: Path, tmp_path: Path
) -> None:
    program = tmp_path / "program"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    with subprocess.Popen([program, "600"]) as process:
        try:
            program.unlink()
            exe = tree / str(process.pid) / "exe"
            assert str(exe.readlink()) == f"{program} (deleted)"
            assert exe.read_bytes() == Path("/bin/sleep").read_bytes()
        finally:
            process.kill()


CHROOTED = "import os, sys; os.chroot(sys.argv[1]); print('ready', flush=True); sys.stdin.read()"


def test_what_a_process_has_below_its_root_is_found_however_it_is_asked_for(
    tree: Path, tmp_path: Path
) -> None:
    if os.geteuid():
        pytest.skip("takes root, to give a process another root")
    for place in tmp_path / "file", tmp_path / "root" / "root":
        place.parent.mkdir(exist_ok=True)
        place.touch()
    with subprocess.Popen(
        [sys.executable, "-c", CHROOTED, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        for name in "root/", "root/.", "root/file", "root/root", "root/root/root", "cwd/..":
            ours, theirs = (f"{root}/{process.pid}/{name}" for root in (tree, PROC))
            expected = os.lstat(theirs)
            assert os.path.samestat(os.lstat(ours), expected)
            file = os.open(ours, os.O_RDONLY | os.O_NOFOLLOW)
            assert os.path.samestat(os.fstat(file), expected)
            os.close(file)


def test_self_is_whoever_asks(tree: Path) -> None:
    assert (tree / "self").readlink() == Path(str(os.getpid()))
    read = "import os, sys; print(os.readlink(sys.argv[1]), os.getpid())"
    shown = subprocess.check_output([sys.executable, "-c", read, tree / "self"], text=True)
    assert len(set(shown.split())) == 1
    assert (tree / "self/comm").read_bytes() == Path("/proc/self/comm").read_bytes()
    assert str((tree / "thread-self").readlink()).startswith(f"{os.getpid()}/task/")


def test_who_walks_through_self_may_write_as_in_proc(tree: Path) -> None:
    comm = tree / "self/task" / str(os.getpid()) / "comm"
    before = comm.read_bytes()
    comm.write_bytes(before)


@pytest.mark.parametrize("name", MAPS)
def test_nothing_of_ours_can_be_written_to(tree: Path, sleeper: int, name: str) -> None:
    for flags in os.O_WRONLY, os.O_RDWR:
        with pytest.raises(PermissionError):
            os.open(tree / str(sleeper) / name, flags)
    with pytest.raises(PermissionError):
        os.open(tree / f"{sleeper}/status", os.O_RDWR | os.O_NOFOLLOW)


@pytest.mark.parametrize("name", ["no such process", "0", "00001", "4194305", "²"])
def test_what_is_not_there_is_not_there(tree: Path, name: str) -> None:
    assert not (PROC / name).exists()
    assert not (tree / name).exists()


def test_a_process_that_has_ended_is_gone_as_in_proc(tree: Path) -> None:
    process = subprocess.Popen(["sleep", "600"])
    path = tree / str(process.pid)
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    files = [os.open(path / name, os.O_RDONLY) for name in ("maps", "smaps_rollup")]
    try:
        process.send_signal(signal.SIGSTOP)
        process.kill()
        process.wait()
        for file in files:
            with pytest.raises(ProcessLookupError):
                os.read(file, 100)
        for name in "maps", "status":
            with pytest.raises((ProcessLookupError, FileNotFoundError)):
                os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory)
        assert path.name not in names(tree)
    finally:
        for each in (directory, *files):
            os.close(each)


def state(pid: int) -> str:
    return (PROC / f"{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_zombie_has_nothing_as_in_proc(tree: Path) -> None:
    process = subprocess.Popen(["true"])
    while state(process.pid) != "Z":
        pass
    try:
        for name in "maps", "smaps", "numa_maps":
            assert (tree / f"{process.pid}/{name}").read_bytes() == b""
        with pytest.raises(ProcessLookupError):
            (tree / f"{process.pid}/smaps_rollup").read_bytes()
        assert (tree / f"{process.pid}/stat").read_bytes()
    finally:
        process.wait()


MAIN_THREAD_ENDS = (
    "import ctypes, threading, time\n"
    "threading.Thread(target=time.sleep, args=(600,)).start()\n"
    "print('ready', flush=True)\n"
    "ctypes.CDLL(None).pthread_exit(None)"
)


def test_threads_show_their_memory_though_the_main_one_has_ended(tree: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", MAIN_THREAD_ENDS], stdout=subprocess.PIPE) as made:
        try:
            assert made.stdout
            made.stdout.readline()
            while state(made.pid) != "Z":
                pass
            thread = f"{made.pid}/task/{thread_of(made.pid)}"
            for name in "maps", "smaps", "numa_maps":
                assert (PROC / thread / name).read_bytes()
                assert_equal(tree / thread / name, PROC / thread / name)
                for empty in f"{made.pid}", f"{made.pid}/task/{made.pid}":
                    assert (tree / empty / name).read_bytes() == b""
        finally:
            made.kill()


def test_it_is_bound_elsewhere_with_all_that_is_in_it(tree: Path, sleeper: int) -> None:
    if os.geteuid():
        pytest.skip("takes root, to bind it over /proc")
    script = (
        'mount --rbind "$0" /proc && cat /proc/$1/limits && cat /proc/$1/maps && cat /proc/uptime'
    )
    shown = subprocess.check_output(["unshare", "--mount", "sh", "-c", script, tree, str(sleeper)])
    for name in "limits", "maps":
        assert (PROC / f"{sleeper}/{name}").read_bytes() in shown


def test_text_is_read_in_pieces_as_the_kernel_gives_them(tree: Path, sleeper: int) -> None:
    def pieces(root: Path, size: Callable[[int], int]) -> list[bytes]:
        file = os.open(root / f"{sleeper}/maps", os.O_RDONLY)
        try:
            return [os.read(file, size(number)) for number in range(40)]
        finally:
            os.close(file)

    for size in (lambda number: 4096), (lambda number: 1 + 97 * number), (lambda number: 1 << 17):
        assert pieces(tree, size) == pieces(PROC, size)
