"""A real process under test: the calls of syscalls.Process, made by a child that we started."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from untorn.conform.running_kernel import check_machine
from untorn.errors import OutOfReachError, os_error

CHILD = Path(__file__).with_name("kernel_child.py")
Step = list[Any]
"""One step of the child: a name and arguments; see kernel_child.py."""


def why_not() -> str | None:
    """Say why the running kernel cannot be the oracle here, or nothing."""
    try:
        check_machine()
    except OutOfReachError as reason:
        return str(reason)
    return None


class KernelProcess:
    """A child whose address space is under test.

    Use it as a context manager: the child is ended, by its pid, whatever happens.
    """

    def __init__(self, *options: str) -> None:
        """Start the child; the option fixed-layout starts it without randomization."""
        command = [sys.executable, "-I", str(CHILD), str(os.getpid()), *options]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self._child.pid
        self._around: tuple[list[Step], list[Step]] = [], []

    def __enter__(self) -> "KernelProcess":
        try:
            self._receive("ready")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.communicate()

    def steps(self, *steps: Step) -> list[tuple[int, int]]:
        """Have the child make these steps back to back; return value and errno of each.

        A call that the kernel does not have skips the test.
        """
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(steps).encode() + b"\n")
        self._child.stdin.flush()
        answers = [(value, error) for value, error in json.loads(self._receive("an answer"))]
        for (name, *_), (_, error) in zip(steps, answers, strict=True):
            if error == errno.ENOSYS:
                pytest.skip(f"{name}(2) is not in this kernel, or refused by a filter")
        return answers

    def call(self, *step: object) -> int:
        """Make one step, between those of around(), and return its value.

        Raises:
            OSError: with the errno of the step.
        """
        before, after = self._around
        results = self.steps(*before, list(step), *after)
        value, error = results.pop(len(before))
        assert all(error == 0 for _, error in results), f"{before} or {after} failed: {results}"
        if error:
            raise os_error(error)
        return value

    @contextmanager
    def around(self, before: list[Step], after: list[Step]) -> Iterator[None]:
        """Put steps before and after every call, so that the child itself never meets them."""
        self._around = before, after
        try:
            yield
        finally:
            self._around = [], []

    def mmap(
        self, addr: int, length: int, prot: int, flags: int, fd: int = -1, offset: int = 0
    ) -> int:
        return self.call("mmap", addr, length, prot, flags, fd, offset)

    def munmap(self, addr: int, length: int) -> None:
        self.call("munmap", addr, length)

    def mprotect(self, addr: int, length: int, prot: int) -> None:
        self.call("mprotect", addr, length, prot)

    def mremap(
        self, addr: int, old_len: int, new_len: int, flags: int = 0, new_addr: int = 0
    ) -> int:
        return self.call("mremap", addr, old_len, new_len, flags, new_addr)

    def mseal(self, addr: int, length: int, flags: int = 0) -> None:
        self.call("mseal", addr, length, flags)

    def madvise(self, addr: int, length: int, advice: int) -> None:
        self.call("madvise", addr, length, advice)

    def mlock2(self, addr: int, length: int, flags: int = 0) -> None:
        self.call("mlock2", addr, length, flags)

    def munlock(self, addr: int, length: int) -> None:
        self.call("munlock", addr, length)

    def touch(self, addr: int, *, write: bool) -> None:
        self.call("touch", addr, write)

    def maps(self) -> bytes:
        """Return its maps, as they are between two calls."""
        return Path(f"/proc/{self.pid}/maps").read_bytes()

    def smaps(self, pid: int | None = None) -> bytes:
        """Return its smaps, or those of a process it forked, as they are between two calls."""
        return Path(f"/proc/{pid or self.pid}/smaps").read_bytes()

    def status(self, field: str) -> int:
        """Return one number of /proc/PID/status, as it is written there."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(text.partition(f"\n{field}:")[2].split()[0], 16 if field == "CapEff" else 10)

    def has_capability(self, number: int) -> bool:
        """Say whether a capability is in its effective set."""
        return bool(self.status("CapEff") >> number & 1)

    def _receive(self, what: str) -> bytes:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise ChildProcessError(f"waited for {what}, the child ended: {self._child.wait()}")
        return line
