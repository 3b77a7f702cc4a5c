"""Programs that watch processes, run on /proc and on our mount; and processes to watch."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers.fuse_mount import require_mounts
from tests.helpers.repository import UNTORN
from tests.helpers.tasks import wait_until

NAME = "standing-still"
_SLEEP = "1000000"
_WATCHED = f"""
import mmap, socket, subprocess, sys, tempfile, threading, time
file = tempfile.TemporaryFile()
file.truncate(100_000)
mapped = mmap.mmap(file.fileno(), 100_000)
mapped[:50_000] = bytes(50_000)
listening, pair = socket.create_server(("127.0.0.1", 0)), socket.socketpair()
for _ in range(2):
    threading.Thread(target=time.sleep, args=({_SLEEP},), daemon=True).start()
nobody = {{"user": 65534, "group": 65534, "extra_groups": []}}
child = subprocess.Popen([sys.argv[1], "{_SLEEP}"], **nobody)
print(child.pid, flush=True)
sys.stdin.read()
child.kill()
"""


class Watched(NamedTuple):
    """Two idle processes."""

    pid: int
    """It has threads, sockets, a deleted file that it maps, and a child."""
    child: int
    """Its program is deleted, and it belongs to another user."""


@contextmanager
def watched() -> Iterator[Watched]:
    """Yield processes that stand still, inside a with statement. Takes root."""
    with tempfile.TemporaryDirectory() as folder:  # where anybody may run a program
        Path(folder).chmod(0o755)
        program = Path(folder, NAME)
        shutil.copy(shutil.which("sleep") or "", program)
        command = [sys.executable, "-c", _WATCHED, str(program)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as parent:
            try:
                assert parent.stdout
                child = int(parent.stdout.readline())
                wait_until(lambda: _sleeps(child), "the child sleeps")
                wait_until(lambda: _sleeps(parent.pid), "the parent waits")
                program.unlink()
                yield Watched(parent.pid, child)
            finally:
                parent.communicate("")


def _sleeps(pid: int) -> bool:
    """Whether a process runs its program, and sleeps in a call that does not end."""
    call = Path(f"/proc/{pid}/syscall").read_text().split()[0]
    return call != "running" and NAME in Path(f"/proc/{pid}/cmdline").read_text()


@contextmanager
def served(directory: Path, *options: str) -> Iterator[None]:
    """Run `untorn mount` inside a with statement, as a service manager would."""
    address = str(directory.with_name("notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(address)
        notified.setblocking(False)
        server = subprocess.Popen(
            [*UNTORN, "mount", str(directory), *options],
            env={**os.environ, "NOTIFY_SOCKET": address},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            wait_until(lambda: server.poll() is not None or _notified(notified), "it is ready")
            assert server.poll() is None, server.communicate()[1]
            yield
        finally:
            server.terminate()
            said = server.communicate()[1]
    assert (server.returncode, said) == (0, "")


def _notified(notified: socket.socket) -> bool:
    try:
        return b"READY=1" in notified.recv(4096)
    except BlockingIOError:
        return False


def require_namespaces() -> None:
    """Skip the test if nothing can be mounted over /proc."""
    require_mounts()
    if os.geteuid():
        pytest.skip("takes root to mount something over /proc")
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(done.stderr.strip())


def over_proc(directory: Path, *command: str) -> list[str]:
    """Return the command that runs another one with a directory mounted over /proc."""
    bind = 'mount --rbind "$0" /proc && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", bind, str(directory), *command]
