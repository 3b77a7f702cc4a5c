"""A mounted /proc while processes come and go, and how its command ends."""

import errno
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.helpers.commanded import Commanded
from tests.helpers.fuse_mount import mounts
from tests.helpers.mount_command import mount_command
from tests.helpers.tasks import PATIENCE, wait_until
from untorn.serve.fuse.connection import Connection

pytestmark = [pytest.mark.live, mounts]

COME_AND_GO = "i=0; while [ $i -lt 1000 ]; do i=$((i + 1)); sleep 0.3 & done; wait; read end"
MAP_POPULATE = 0x8000
PAGES = 32 << 9
"""One page table shows 512 of them."""
READ = "maps", "smaps_rollup", "stat"
SLOWLY = "--holds", "2"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it(number: int, tmp_path: Path) -> None:
    with mount_command(tmp_path) as command:
        command.send_signal(number)
        assert command.communicate()[1] == ""


@pytest.mark.parametrize("shows", ["host", "engine"])
def test_a_procfs_that_numbers_callers_otherwise_is_refused(shows: str, tmp_path: Path) -> None:
    enter = ["unshare", "--pid", "--fork"]
    if subprocess.run([*enter, "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("takes the right to make a PID namespace")
    emulator = tmp_path / "emulator.py"
    emulator.write_text("processes = {}")
    options = ["--engine", str(emulator)] if shows == "engine" else []
    command = [*enter, sys.executable, "-m", "untorn", "mount", str(tmp_path), *options]
    try:  # one that is not refused serves until it is ended
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], stderr=subprocess.DEVNULL)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "PID namespace" in done.stderr


BIND_OVER_PROC = """
"$0" -m untorn mount mounted --patience 2 &
until [ -e mounted/.real/self ]; do kill -0 $! && sleep 0.01 || exit; done
mount --rbind mounted /proc && cat /proc/$1/maps /proc/$1/limits
kill $! && wait $!
"""


def test_it_may_be_bound_over_the_proc_that_it_reads(tmp_path: Path) -> None:
    enter = ["unshare", "--mount"]
    if subprocess.run([*enter, "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("takes the right to make a mount namespace")
    (tmp_path / "mounted").mkdir()
    with subprocess.Popen(["sleep", "600"]) as process:
        try:
            command = [*enter, "sh", "-c", BIND_OVER_PROC, sys.executable, str(process.pid)]
            shown = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=PATIENCE)
            there = Path(f"/proc/{process.pid}")
            expected = (there / "maps").read_bytes() + (there / "limits").read_bytes()
        finally:
            process.kill()
    assert (shown.returncode, shown.stderr, shown.stdout) == (0, b"", expected)


def test_processes_come_and_go(tmp_path: Path) -> None:
    outcomes: set[int | None] = set()
    with mount_command(tmp_path) as command:
        with subprocess.Popen(["sh", "-c", COME_AND_GO], stdin=subprocess.PIPE) as parent:
            children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
            wait_until(children.read_text, "processes come")
            while pids := children.read_text().split():
                outcomes |= {errno_of_read(tmp_path / pid / name) for pid in pids for name in READ}
        # Until many new ones come, only who lists the directory shows that these are gone.
        wait_until(
            lambda: list(tmp_path.iterdir()) and descriptors_of(command.pid) < 100,
            "the server lets go of them",
        )
    assert outcomes <= {None, errno.ENOENT, errno.ESRCH}


def test_a_process_ends_inside_a_read(tmp_path: Path) -> None:
    with mount_command(tmp_path, *SLOWLY), Commanded() as victim:
        connection = Connection(os.minor(tmp_path.stat().st_dev))
        victim.do(f"put(place({PAGES}), {PAGES}, flags=ANON | {MAP_POPULATE})")
        file = tmp_path / str(victim.pid) / "smaps_rollup"
        with subprocess.Popen(["cat", file], stderr=subprocess.PIPE, text=True) as client:
            wait_until(lambda: has_open(client.pid, file) and connection.waiting(), "it reads")
            os.kill(victim.pid, signal.SIGKILL)
            assert os.strerror(errno.ESRCH) in client.communicate()[1]


def errno_of_read(file: Path) -> int | None:
    try:
        file.read_bytes()
    except OSError as error:
        return error.errno
    return None


def descriptors_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def has_open(pid: int, file: Path) -> bool:
    with suppress(OSError):
        return file in [fd.readlink() for fd in Path(f"/proc/{pid}/fd").iterdir()]
    return False
