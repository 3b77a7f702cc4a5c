"""A mount that is killed at any moment, while agents read through it, leaves nothing behind."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.helpers.fuse_mount import mounts
from tests.helpers.mounted import is_mounted
from tests.helpers.processes import children_of
from tests.helpers.repository import UNTORN
from tests.helpers.tasks import PATIENCE, wait_until

AGENT = (
    'while :; do cat "$0"/[0-9]*/smaps_rollup "$0"/[0-9]*/stat "$0"/self/limits; done 2>/dev/null'
)
SERVES_ALREADY = 0.8
"""How often it already serves; otherwise it is still starting."""


def kill(server: "subprocess.Popen[bytes]", directory: Path) -> None:
    server.kill()


def end(server: "subprocess.Popen[bytes]", directory: Path) -> None:
    server.terminate()


def unmount(server: "subprocess.Popen[bytes]", directory: Path) -> None:
    """Unmount it from outside; if it is not mounted yet, end it."""
    if subprocess.run(["umount", "-l", directory], stderr=subprocess.DEVNULL).returncode:
        server.terminate()


def kill_after_its_watchdog(server: "subprocess.Popen[bytes]", directory: Path) -> None:
    """Kill the watchdog, and the server once there is another watchdog."""
    killed = children_of(server.pid)
    for watchdog in killed:
        os.kill(watchdog, signal.SIGKILL)
    wait_until(lambda: children_of(server.pid) - killed or server.poll() is not None)
    server.kill()


def stop(server: "subprocess.Popen[bytes]", directory: Path) -> None:
    """Stop it: it is then killed because agents wait. If it is not mounted yet, kill it at once."""
    server.send_signal(signal.SIGSTOP)
    if not is_mounted(directory):
        server.kill()


WAYS = [kill, end, unmount, kill_after_its_watchdog, stop]


@contextmanager
def agents_of(directory: Path) -> Iterator[None]:
    agents = [
        subprocess.Popen(
            ["sh", "-c", AGENT, directory], stdout=subprocess.DEVNULL, start_new_session=True
        )
        for _ in range(2)
    ]
    try:
        yield
    finally:
        for agent in agents:
            os.killpg(agent.pid, signal.SIGKILL)
        for agent in agents:
            agent.wait(PATIENCE)


@contextmanager
def mount_of(directory: Path, mark: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Yield a server with a mark in its environment, which its children inherit."""
    command, marked = [*UNTORN, "mount", str(directory)], {**os.environ, "TEST_OF_KILLS": mark}
    with subprocess.Popen(command, env=marked) as server:
        try:
            yield server
        finally:
            server.kill()


def processes_with(word: str) -> list[str]:
    """Return the command lines of processes with a word in their environment."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if word.encode() in environ.read_bytes():
                found.append(environ.with_name("cmdline").read_text())
    return found


@pytest.mark.live
@pytest.mark.soak
@mounts
def test_kills_at_any_moment_leave_nothing(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance, mark = random.Random(seed), f"{seed:x}"
    for number in range(request.config.getoption("--mount-kills")):
        way = chance.choice(WAYS)
        with agents_of(tmp_path), mount_of(tmp_path, mark) as server:
            if chance.random() < SERVES_ALREADY:
                wait_until(lambda: is_mounted(tmp_path), "it is mounted")
            time.sleep(chance.random())
            mounted = is_mounted(tmp_path)
            way(server, tmp_path)
            server.wait(PATIENCE)
            ended = time.monotonic()
            wait_until(lambda: not is_mounted(tmp_path), f"{way.__name__}: it is unmounted")
            took = time.monotonic() - ended
            print(f"{number} {way.__name__}, {mounted=}: unmounted {took:.3f} s after its end")
            wait_until(lambda: not processes_with(mark), f"{way.__name__}: all have ended")
