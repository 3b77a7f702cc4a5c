"""Processes that have all kinds of rights, and what each gets to see of others."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from untorn.serve.fuse.node import Caller

_PROGRAM = Path(__file__).with_name("askers_program.py")

Seen = dict[str, str]
"""How it ended for each file and link of a process, by its name."""


class Asker(NamedTuple):
    """A process that has looked at others and sleeps now."""

    pid: int
    seen: list[dict[str, Seen]]
    """In each root that it was given: of each process, by its name."""

    @property
    def caller(self) -> Caller:
        """It as FUSE tells of it."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        uid, gid = (
            int(line.split()[4])
            for line in status.splitlines()
            if line.startswith(("Uid:", "Gid:"))
        )
        return Caller(uid, gid, self.pid)


class Told(NamedTuple):
    """Who was looked at, as pids, and who looked, both by name."""

    shown: dict[str, int]
    asked: dict[str, Asker]


@contextmanager
def askers(*roots: int) -> Iterator[Told]:
    """Let processes of all kinds look at others in each of these roots, descriptors of folders.

    All of them live as long as the with statement. Only root can start them.
    """
    program = subprocess.Popen(
        [sys.executable, "-I", str(_PROGRAM), *map(str, roots)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=roots,
        cwd="/",
    )
    with program:
        assert program.stdout
        told = json.loads(program.stdout.readline())
        yield Told(told["shown"], {name: Asker(*asked) for name, asked in told["asked"].items()})


@contextmanager
def opened(path: str) -> Iterator[int]:
    """Open a folder for a while, as a place to start from."""
    folder = os.open(path, os.O_PATH | os.O_DIRECTORY)
    try:
        yield folder
    finally:
        os.close(folder)
