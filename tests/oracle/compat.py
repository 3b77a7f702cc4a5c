"""A 32-bit process of the running kernel, stopped, that makes the calls that it is told to.

Its program is one page that waits for input.
"""

import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.tasks import wait_until
from tests.oracle.kernel_process import why_not
from untorn.conform.traced.abi import I386
from untorn.conform.traced.minimal_elf import LIFELINE_FD, SYSCALL, image
from untorn.conform.traced.ptrace import Tracee

_WAITS_FOR_INPUT = b"3 %#x " % LIFELINE_FD
_GNU_STACK, _NOTE = struct.pack("<I", 0x6474_E551), struct.pack("<I", 4)


class Compat:
    """The stopped process."""

    def __init__(self, pid: int) -> None:
        self._tracee = Tracee.seize(pid, I386)
        self.pid = pid
        self._directory = Path(f"/proc/{pid}")

    def maps(self) -> bytes:
        return (self._directory / "maps").read_bytes()

    def heap(self) -> tuple[int, int]:
        """Return start_brk and brk."""
        fields = (self._directory / "stat").read_text().rpartition(")")[2].split()
        return int(fields[47 - 3]), self.call("brk", 0)

    def has_capability(self, number: int) -> bool:
        """Say whether a capability is in its effective set."""
        status = (self._directory / "status").read_text()
        return bool(int(status.partition("CapEff:")[2].split()[0], 16) >> number & 1)

    def call(self, name: str, *arguments: Any) -> int:
        """Make a call of syscalls.Process; return its result, an errno negated."""
        if name == "mmap":
            addr, length, prot, flags = arguments
            arguments = addr, length, prot, flags, -1, 0
        return self._tracee.call(SYSCALL, name, *arguments)


@contextmanager
def compat_process(path: Path, *command: str, old: bool = False) -> Iterator[Compat]:
    """Run the program, from this path, by a command such as setarch; skip if that cannot be.

    Old programs do not say what stack they want.
    """
    if reason := why_not():
        pytest.skip(reason)
    program = image(I386)
    path.write_bytes(program.replace(_GNU_STACK, _NOTE) if old else program)
    path.chmod(0o700)
    reading, writing = os.pipe()
    os.dup2(reading, LIFELINE_FD)
    try:
        # With so little above it, the stack begins in its last page, as from_maps() takes it to.
        environment = {"PATH": os.defpath}
        child = subprocess.Popen([*command, str(path)], pass_fds=(LIFELINE_FD,), env=environment)
    except OSError as error:
        os.close(writing)
        pytest.skip(f"no 32-bit program runs here: {error}")
    finally:
        os.close(reading)
        os.close(LIFELINE_FD)
    try:
        syscall = Path(f"/proc/{child.pid}/syscall")
        try:
            wait_until(
                lambda: (
                    child.poll() is not None or syscall.read_bytes().startswith(_WAITS_FOR_INPUT)
                )
            )
            if child.poll() is not None:
                assert child.returncode, "it ran, and found no input to wait for"
                pytest.skip(f"no 32-bit program runs here: it ended with {child.returncode}")
            yield Compat(child.pid)
        except PermissionError as error:
            pytest.skip(f"processes cannot be traced here: {error}")
    finally:
        os.close(writing)
        child.kill()
        child.wait()
