"""A small tree served by a separate process, which tests stop, kill and leave hanging."""

import errno
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from tests.helpers.mounted import is_mounted
from tests.helpers.processes import children_of
from tests.helpers.repository import ROOT
from tests.helpers.tasks import wait_until
from untorn.errors import os_error
from untorn.serve.fuse.node import Attributes, Caller, Directory, Entry, File, OpenFile

CONTENT = b"quick\n"
STUCK = 0.5
"""Seconds."""


class _OpenFile(OpenFile):
    def __init__(self, name: bytes) -> None:
        self._name = name

    def is_slow(self, offset: int | None = None) -> bool:
        return self._name == b"slow"

    def read(self, size: int, offset: int, caller: Caller) -> bytes:
        if self._name != b"quick":
            print("asked", flush=True)
            threading.Event().wait()
        return CONTENT[offset : offset + size]


class _File(File):
    def __init__(self, name: bytes) -> None:
        self._name = name

    def attributes(self) -> Attributes:
        return Attributes(stat.S_IFREG | 0o444)

    def open(self, flags: int, caller: Caller) -> OpenFile:
        return _OpenFile(self._name)


class _Directory(Directory):
    """A file that answers, and two that never do; nobody knows that of the second beforehand."""

    def __init__(self) -> None:
        self._files = {name: _File(name) for name in (b"quick", b"slow", b"hangs")}

    def attributes(self) -> Attributes:
        return Attributes(stat.S_IFDIR | 0o555)

    def lookup(self, name: bytes, caller: Caller) -> File:
        if name not in self._files:
            raise os_error(errno.ENOENT)
        return self._files[name]

    def entries(self, caller: Caller) -> Sequence[Entry]:
        return [Entry(name, stat.S_IFREG) for name in self._files]


def main() -> None:
    """Serve it until it is unmounted or SIGTERM arrives."""
    from untorn.serve.mounted import Mounted

    with Mounted(_Directory(), sys.argv[1], stuck=STUCK) as mounted:
        signal.signal(signal.SIGTERM, lambda number, frame: mounted.ended.set())
        print("ready", flush=True)
        mounted.ended.wait()


class ServedTree:
    """A served tree; leaving it ends whatever remains of it.

    Args:
        directory: Where it is mounted.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        program = "from tests.helpers.served_tree import main; main()"
        self.server = subprocess.Popen(
            [sys.executable, "-c", program, str(directory)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if self._next_line() != "ready":
            self.server.kill()
            raise AssertionError(self.server.communicate()[1])

    def _next_line(self) -> str:
        assert self.server.stdout
        return self.server.stdout.readline().rstrip()

    def watchdogs(self) -> set[int]:
        return children_of(self.server.pid)

    @contextmanager
    def client_of(self, name: str) -> Iterator["subprocess.Popen[str]"]:
        """Yield a client that waits in a read() which is never answered."""
        command = ["cat", str(self.directory / name)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as client:
            assert self._next_line() == "asked"
            yield client

    def stop(self) -> None:
        """Stop the server, with all its threads."""
        self.server.send_signal(signal.SIGSTOP)
        threads = Path(f"/proc/{self.server.pid}/task")
        wait_until(lambda: all(") T " in each.read_text() for each in threads.glob("*/stat")))

    def end(self) -> int:
        """Ask the server to end; return its exit status once it and its watchdog have ended."""
        self.server.terminate()
        self.server.communicate()  # this returns once nobody has its stderr open
        return self.server.returncode

    def is_mounted(self) -> bool:
        return is_mounted(self.directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with suppress(ProcessLookupError):
            self.server.send_signal(signal.SIGCONT)
        self.end()
