"""A mount of ours and an agent that we cannot change, run for a benchmark."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

from untorn.bench.command import children_of
from untorn.errors import OutOfReachError

EXPORTER = "prometheus-process-exporter"
_START, _END = 60.0, 30.0
"""Seconds until each must be up."""


class Mount(NamedTuple):
    """A mounted tree, and the process that serves it."""

    directory: str
    pid: int
    said: IO[str]
    """Its stderr."""

    def costs(self) -> str:
        """Let the server report what its looks have cost so far."""
        os.kill(self.pid, signal.SIGUSR1)
        return self.said.readline().rstrip()

    def cpu(self) -> float:
        """Return how many seconds of CPU time the server and its watchdog took."""
        stats = (_fields(f"/proc/{pid}/stat") for pid in (self.pid, *children_of(self.pid)))
        return sum(int(each[11]) + int(each[12]) for each in stats) / os.sysconf("SC_CLK_TCK")

    def resident(self) -> int:
        """Return how many bytes the server has in memory."""
        return int(_fields(f"/proc/{self.pid}/stat")[21]) * os.sysconf("SC_PAGESIZE")

    def descriptors(self) -> int:
        """Return how many descriptors the server has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))  # noqa: PTH208 (names of numbers)

    def threads(self) -> int:
        """Return how many threads the server has."""
        return int(_fields(f"/proc/{self.pid}/stat")[17])


def _fields(stat: str) -> list[str]:
    """Return what follows the name of a process in its stat. Source: proc_pid_stat(5)."""
    return Path(stat).read_text().rpartition(")")[2].split()


@contextmanager
def mounted(*arguments: str) -> Iterator[Mount]:
    """Serve a /proc by `untorn mount`, with further arguments, until the block ends.

    Raises:
        OutOfReachError: It cannot be mounted here.
    """
    with tempfile.TemporaryDirectory() as directory, _manager() as manager:
        address = manager.getsockname()
        where = os.environ | {"NOTIFY_SOCKET": "@" + address[1:].decode()}
        command = [sys.executable, "-m", "untorn", "mount", directory, *arguments]
        with subprocess.Popen(command, env=where, stderr=subprocess.PIPE, text=True) as server:
            assert server.stderr
            try:
                _await_ready(manager, server)
                yield Mount(directory, server.pid, server.stderr)
            finally:
                server.send_signal(signal.SIGTERM)
                server.wait(_END)


@contextmanager
def _manager() -> Iterator[socket.socket]:
    """Be a service manager: see sd_notify(3)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("")  # the kernel chooses an address
        manager.settimeout(0.2)
        yield manager


def _await_ready(manager: socket.socket, server: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + _START
    while server.poll() is None and time.monotonic() < deadline:
        try:
            manager.recv(64)
        except TimeoutError:
            continue
        return
    raise OutOfReachError(f"nothing was mounted: {server.communicate()[1]}")


@contextmanager
def exporter(proc: str, command_lines: str) -> Iterator[str]:
    """Run prometheus-process-exporter on a /proc until the block ends; yield its address.

    Args:
        proc: The /proc that it reads.
        command_lines: A regular expression for the processes that it reports.

    Raises:
        OutOfReachError: It is not installed, or does not answer.
    """
    url = f"http://127.0.0.1:{_free_port()}/metrics"
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as config:
        config.write(f"process_names:\n- name: '{{{{.Comm}}}}'\n  cmdline: ['{command_lines}']\n")
        config.flush()
        listen = f"-web.listen-address={url.split('/')[2]}"
        command = [EXPORTER, "-procfs", proc, "-config.path", config.name, listen]
        try:
            agent = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except FileNotFoundError:
            raise OutOfReachError(f"no {EXPORTER}: apt install {EXPORTER}") from None
        with agent:
            try:
                _await_answer(url)
                yield url
            finally:
                agent.kill()


def scrape(url: str) -> str:
    """Return the metrics of an exporter."""
    with urlopen(url, timeout=_START) as answer:
        text: bytes = answer.read()
    return text.decode()


def _await_answer(url: str) -> None:
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline:
        try:
            scrape(url)
        except URLError:
            time.sleep(0.1)
        else:
            return
    raise OutOfReachError(f"{EXPORTER} does not answer")


def _free_port() -> int:
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        port: int = there.getsockname()[1]
    return port
