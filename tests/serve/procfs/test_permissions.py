"""The same programs look at the same processes, through /proc and through our mount."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.helpers.askers import Told, askers, opened
from tests.helpers.askers_program import ALICE, BOB, told
from tests.helpers.fuse_mount import require_mounts
from tests.helpers.nobody import as_root
from tests.helpers.tasks import wait_until
from untorn.serve.host.host import Host
from untorn.serve.procfs.real import RealProc

pytestmark = [as_root, pytest.mark.live]

OTHER_NAMESPACE = {"container's root", "container's root less ptrace", "container's alice"}
STRICTER = {(asker, "container, a user") for asker in OTHER_NAMESPACE}
"""Where we refuse what the kernel allows: to users of a namespace that is not ours."""
NOT_LISTED = {
    *((alice, "alice's own namespace") for alice in ("alice", "alice, group of bob")),
    ("container's root", "container, root"),
}
"""Callers that count as strangers in a list of processes: their right comes from a namespace."""
NAMES = "maps", "stat", "io", "task/{pid}/maps", "exe"
"""What to compare where processes are hidden."""


@contextmanager
def mounted(directory: Path, proc: str = "/proc") -> Iterator[int]:
    """Yield a descriptor of the root of our mount; skip the test if there can be none."""
    require_mounts()
    from untorn.serve.mount import mounted_proc

    directory.mkdir()
    with (
        closing(Host(proc=proc)) as host,
        mounted_proc(str(directory), host, proc=proc),
        opened(str(directory)) as root,
    ):
        yield root


def differences(told: Told) -> Iterable[str]:
    """Yield a line for each difference between the second root and the first."""
    for asker, asked in told.asked.items():
        kernels, ours = asked.seen
        for shown, seen in kernels.items():
            for name, outcome in seen.items():
                strict = STRICTER | NOT_LISTED if name == "listed" else STRICTER
                if ours[shown][name] != outcome and (asker, shown) not in strict:
                    yield f"{asker} of {shown}, {name}: {ours[shown][name]}, not {outcome}"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with mounted(tmp_path_factory.mktemp("permissions") / "mounted") as root:
        yield root


@pytest.fixture(scope="module")
def proc() -> Iterator[int]:
    with opened("/proc") as proc:
        yield proc


def test_everybody_sees_what_proc_shows(proc: int, root: int) -> None:
    with askers(proc, root) as told:
        wrong = list(differences(told))
    assert not wrong, "\n".join(wrong)


@contextmanager
def hiding(place: Path, option: str) -> Iterator[str]:
    """A procfs with an option that hides processes."""
    place.mkdir()
    mount("-t", "proc", "-o", option, "proc", str(place))
    try:
        yield str(place)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr}")


@pytest.mark.parametrize("option", ["noaccess", "invisible"])
def test_what_is_hidden_in_proc_is_hidden_in_ours(tmp_path: Path, option: str) -> None:
    with (
        hiding(tmp_path / "procfs", f"hidepid={option}") as procfs,
        opened(procfs) as proc,
        mounted(tmp_path / "mounted", procfs) as root,
        askers(proc, root, names=NAMES) as told,
    ):
        wrong = [line for line in differences(told) if not is_of_what_is_locked(line)]
    assert not wrong, "\n".join(wrong)


def is_of_what_is_locked(line: str) -> bool:
    """Return whether a line is about a locked directory, which the kernel's /proc does show."""
    return line.endswith(", : Operation not permitted, not there")


def test_processes_are_hidden_from_a_second_after_they_are_to_be(tmp_path: Path) -> None:
    now = 0.0
    with hiding(tmp_path / "procfs", "hidepid=off") as procfs:
        proc = RealProc(procfs, lambda: now)
        assert not proc.hides
        mount("-o", "remount,hidepid=invisible", procfs)
        now = 1.0
        assert proc.hides
        os.close(proc.directory)


READ = f"""
import os, sys
os.setgroups([]); os.setgid({BOB}); os.setuid({BOB})
try:
    sys.stdout.buffer.write(os.pread(0, 1 << 20, 0))
except OSError as error:
    sys.exit(error.strerror)
"""


def read_by_bob(folder: int, path: str) -> str:
    """Return what a process without rights gets from a file that this one has opened."""
    file = os.open(path, os.O_RDONLY, dir_fd=folder)
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", READ], stdin=file, capture_output=True, check=False
        )
    finally:
        os.close(file)
    return done.stderr.decode() or told(path, done.stdout)


SLEEP = f"""
import ctypes, os, sys
program = os.open(sys.argv[1], os.O_RDONLY)
os.setgroups([]); os.setgid({ALICE}); os.setuid({ALICE})
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE
print("ready", flush=True)
sys.stdin.readline()
os.execve(program, ["program"], {{}})
"""


@contextmanager
def sleeper(then: Path = Path("/bin/cat")) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of Alice's that sleeps, and starts another program when it is told."""
    with subprocess.Popen(
        [sys.executable, "-I", "-c", SLEEP, str(then)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as program:
        assert program.stdout
        assert program.stdout.readline() == b"ready\n"
        try:
            yield program
        finally:
            program.kill()


GO_THERE = f"""
import os, sys
os.fchdir(int(sys.argv[2]))
os.setgroups([]); os.setgid({BOB}); os.setuid({BOB})
for call in os.stat, os.lstat, os.chdir:
    try:
        call(sys.argv[1])
    except PermissionError:
        continue
    sys.exit("it got there")
"""


@pytest.mark.parametrize("name", ["", "/maps", "/task/{}/maps"])
def test_what_nobody_may_go_to_is_not_looked_at(tmp_path: Path, name: str) -> None:
    with (
        hiding(tmp_path / "procfs", "hidepid=noaccess") as procfs,
        mounted(tmp_path / "mounted", procfs) as root,
        sleeper() as program,
    ):
        path = f"{program.pid}{name.format(program.pid)}"
        os.stat(path, dir_fd=root)
        command = [sys.executable, "-I", "-c", GO_THERE, path, str(root)]
        subprocess.run(command, pass_fds=[root], check=True)


@pytest.mark.parametrize("name", ["maps", "smaps_rollup", "environ", "io", "stat", "task/{}/maps"])
def test_what_root_opened_says_to_another_what_proc_says(proc: int, root: int, name: str) -> None:
    with sleeper() as program:
        path = f"{program.pid}/{name.format(program.pid)}"
        assert read_by_bob(root, path) == read_by_bob(proc, path)


@contextmanager
def set_user_id(directory: Path) -> Iterator[Path]:
    """A program that gets root's rights, whoever starts it."""
    program = directory / "cat"
    shutil.copy("/bin/cat", program)
    program.chmod(0o4755)
    try:
        yield program
    finally:
        program.unlink()


LOOK = f"""
import fcntl, os, struct, sys
os.setgroups([]); os.setgid({ALICE}); os.setuid({ALICE})
path, root = sys.argv[1], int(sys.argv[2])
file, other = (os.open(path, os.O_RDONLY, dir_fd=root) for _ in range(2))
print(len(os.pread(file, 1 << 20, 0)), flush=True)
sys.stdin.readline()
query = struct.pack("=4Q", 104, 0x10, 0, 0).ljust(104, b"\\0")
for look in (
    lambda: os.pread(file, 1 << 20, 0),
    lambda: os.pread(other, 1 << 20, 0),
    lambda: fcntl.ioctl(other, 0xc0686611, query),
):
    try:
        seen = look()
    except OSError:
        continue
    if seen:
        sys.exit(f"it saw {{seen!r}}")
"""


@pytest.mark.parametrize("name", ["maps", "smaps", "smaps_rollup"])
def test_a_file_that_is_open_shows_no_program_with_more_rights(
    tmp_path: Path, root: int, name: str
) -> None:
    with set_user_id(tmp_path) as program, sleeper(program) as seen:
        assert seen.stdin
        look = [sys.executable, "-I", "-c", LOOK, f"{seen.pid}/{name}", str(root)]
        with subprocess.Popen(
            look,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[root],
        ) as looker:
            assert looker.stdout
            assert int(looker.stdout.readline())
            seen.stdin.write(b"now\n")
            seen.stdin.flush()
            comm, status = Path(f"/proc/{seen.pid}/comm"), Path(f"/proc/{seen.pid}/status")
            wait_until(lambda: comm.read_text() != "python\n")
            if f"\t{ALICE}\t0\t0\t" not in status.read_text():
                pytest.skip("programs get no rights from where they lie")
            _, wrong = looker.communicate(b"look\n")
    assert (looker.returncode, wrong) == (0, b"")
