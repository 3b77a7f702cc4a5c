"""A traced process, and what /proc says of one."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from untorn.conform.traced.ptrace import Tracee

_CHUNK = 1 << 16


class Layout(NamedTuple):
    """Byte addresses of an address space that its maps do not show."""

    start_code: int
    end_code: int
    start_stack: int
    """The stack pointer at exec."""
    start_data: int
    end_data: int
    start_brk: int
    arg_start: int
    arg_end: int
    env_start: int
    env_end: int

    @classmethod
    def of(cls, pid: int) -> Self:
        """Return the layout of a process.

        Raises:
            OSError: ENOENT or ESRCH if there is no such process.

        Source: proc_pid_stat(5).
        """
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return cls(*(int(fields[number - 3]) for number in (26, 27, 28, *range(45, 52))))


def pages_of(status: bytes, names: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Return sums of memory counters in the text of a status; nothing without memory.

    Args:
        status: The text, whose fields are in kB.
        names: The name of each sum, in pages, and the fields to add for it.

    Source: proc_pid_status(5).
    """
    if b"\nVmSize:" not in status:
        return {}
    return {
        name: sum(_kilobytes(status, field) for field in fields) // 4
        for name, fields in names.items()
    }


def _kilobytes(status: bytes, field: str) -> int:
    after = status.partition(f"\n{field}:".encode())[2]
    return int(after[: after.index(b" kB")])


def read_whole(fd: int) -> bytes:
    """Return the text of an open file in /proc, from its start."""
    text = os.pread(fd, _CHUNK, 0)
    while more := os.pread(fd, _CHUNK, len(text)):
        text += more
    return text


class Member:
    """One of the processes of a child under test that has forked."""

    def __init__(self, tracee: Tracee) -> None:
        self.tracee = tracee
        self._maps = self._status = -1
        self.reopen()

    def reopen(self) -> None:
        """Open the files again: after an exec the old ones belong to the old address space."""
        self._close()
        proc = f"/proc/{self.tracee.pid}"
        self._maps = os.open(f"{proc}/maps", os.O_RDONLY | os.O_CLOEXEC)
        self._status = os.open(f"{proc}/status", os.O_RDONLY | os.O_CLOEXEC)

    def maps(self) -> bytes:
        """Return the text of its maps."""
        return read_whole(self._maps)

    def status(self) -> bytes:
        """Return the text of its status."""
        return os.pread(self._status, _CHUNK, 0)

    def memory(self, addr: int, size: int) -> bytes:
        """Return size bytes at a byte address. Raises OSError EIO if nothing is there."""
        with Path(f"/proc/{self.tracee.pid}/mem").open("rb", buffering=0) as file:
            return os.pread(file.fileno(), size, addr)

    def end(self) -> None:
        """Kill it, wait for its end, and close the files."""
        with suppress(ProcessLookupError):
            self.tracee.end()
        self._close()

    def _close(self) -> None:
        for fd in {self._maps, self._status} - {-1}:
            os.close(fd)
        self._maps = self._status = -1
