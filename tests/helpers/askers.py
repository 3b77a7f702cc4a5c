"""Processes with all kinds of rights, and what each can see of others."""

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from untorn.serve.fuse.node import Caller

_PROGRAM = Path(__file__).with_name("askers_program.py")

_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
"""System calls, by the same number on every machine. See fsopen(2)."""
_SET_STRING, _CREATE = 1, 6

Seen = dict[str, str]
"""How it ended for each file and link of a process, by name."""


class Asker(NamedTuple):
    """A process that has looked at others, and now sleeps."""

    pid: int
    seen: list[dict[str, Seen]]
    """For each root that it was given: what it saw of each process, by name."""

    @property
    def caller(self) -> Caller:
        """The process as FUSE describes it."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        uid, gid = (
            int(line.split()[4])
            for line in status.splitlines()
            if line.startswith(("Uid:", "Gid:"))
        )
        return Caller(uid, gid, self.pid)


class Told(NamedTuple):
    """The PIDs of the processes to look at, and those that looked, both by name."""

    shown: dict[str, int]
    asked: dict[str, Asker]


@contextmanager
def askers(*roots: int, names: Iterable[str] = ()) -> Iterator[Told]:
    """Let processes of all kinds look at others in each of these roots (directory descriptors).

    They check whether the others are there, and look at the named files; if none is named, at
    everything. All of them live until the with statement ends. Only root can start them.
    """
    program = subprocess.Popen(
        [sys.executable, "-I", str(_PROGRAM), ",".join(names), *map(str, roots)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=roots,
        cwd="/",
    )
    with program:
        assert program.stdout
        told = json.loads(program.stdout.readline())
        if "why not" in told:
            pytest.skip(told["why not"])
        yield Told(told["shown"], {name: Asker(*asked) for name, asked in told["asked"].items()})


@contextmanager
def opened(path: str, folder: int | None = None) -> Iterator[int]:
    """Open a directory for a while, as a starting point."""
    directory = os.open(path, os.O_PATH | os.O_DIRECTORY, dir_fd=folder)
    try:
        yield directory
    finally:
        os.close(directory)


@contextmanager
def hiding_procfs(hidepid: int) -> Iterator[int]:
    """Yield a procfs that hides processes: it is mounted nowhere, and vanishes when closed."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(number: int, *arguments: bytes | int | None) -> int:
        result: int = libc.syscall(number, *arguments)
        if result < 0:
            pytest.skip(f"cannot make a procfs with hidepid: {os.strerror(ctypes.get_errno())}")
        return result

    context = call(_FSOPEN, b"proc", 0)
    try:
        call(_FSCONFIG, context, _SET_STRING, b"hidepid", b"%d" % hidepid, 0)
        call(_FSCONFIG, context, _CREATE, None, None, 0)
        mount = call(_FSMOUNT, context, 0, 0)
    finally:
        os.close(context)
    try:
        yield mount
    finally:
        os.close(mount)
