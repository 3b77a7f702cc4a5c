"""A child with an address space that nothing changes but the calls it is told to make."""

import os
import resource
from contextlib import suppress
from pathlib import Path
from typing import Self

from untorn.errors import OutOfReach, describe
from untorn.live import minimal_elf
from untorn.live.ptrace import Tracee, end_child

STACK_LIMIT = 8 << 20
"""Bytes; RLIMIT_STACK at exec. Small enough for mmap_base to be where it is by default."""
_PROGRAM_FD = 400
FIRST_FD = 500
"""Descriptors of the child's files are counted from here."""
_PERSONALITY, _EXECVEAT = 135, 322
_ADDR_NO_RANDOMIZE = 0x4_0000
_AT_EMPTY_PATH = 0x1000
_LIMITS = ("AS", "DATA", "MEMLOCK", "STACK")
_CHUNK = 1 << 16


class MinimalChild:
    """A process of one page of program, without randomization, stopped between calls.

    Attributes:
        pid: Its process ID, the same after renew().

    Use it as a context manager, or call close(): the child is ended by its pid, whatever
    happens; it also ends with this process.
    """

    def __init__(self, files: tuple[int, ...] = ()) -> None:
        """Start it.

        Args:
            files: Descriptors that it gets, as FIRST_FD and so on.

        Raises:
            OutOfReach: Tracing, or a process without randomization, is forbidden here.
        """
        self._maps_fd = -1
        self.pid, self._input = _spawn(files)
        try:
            self._tracee = Tracee(self.pid)
        except BaseException as error:
            end_child(self.pid)
            os.close(self._input)
            if isinstance(error, OSError):
                raise OutOfReach(f"no child can be traced here: {describe(error)}") from error
            raise
        try:
            if self.call(_PERSONALITY, _ADDR_NO_RANDOMIZE) < 0:
                raise OutOfReach("no process without address randomization can be had here")
            self._limits = {name: resource.prlimit(self.pid, _number(name)) for name in _LIMITS}
            self._limits["STACK"] = STACK_LIMIT, self._limits["STACK"][1]
            self.renew()
        except BaseException:
            self.close()
            raise

    def call(self, number: int, *arguments: int) -> int:
        """Make a system call; see Tracee.call()."""
        return self._tracee.call(minimal_elf.SYSCALL, number, *arguments)

    def renew(self) -> None:
        """Start over with a new address space, the first limits and capabilities."""
        for name, limits in self._limits.items():
            resource.prlimit(self.pid, _number(name), limits)
        empty, argv = minimal_elf.EMPTY_STRING, minimal_elf.ARGV
        arguments = _PROGRAM_FD, empty, argv, 0, _AT_EMPTY_PATH
        self._tracee.exec(minimal_elf.SYSCALL, _EXECVEAT, *arguments)
        if self._maps_fd >= 0:
            os.close(self._maps_fd)
        self._maps_fd = os.open(f"/proc/{self.pid}/maps", os.O_RDONLY | os.O_CLOEXEC)

    def set_limit(self, name: str, soft: int) -> None:
        """Set a soft limit from outside: AS, DATA, MEMLOCK or STACK, in bytes; -1 for none.

        Raises:
            ValueError: It is above the hard limit.
        """
        resource.prlimit(self.pid, _number(name), (soft, self.hard_limit(name)))

    def hard_limit(self, name: str) -> int:
        """Return a hard limit in bytes, -1 for none."""
        return self._limits[name][1]

    def soft_limit(self, name: str) -> int:
        """Return the soft limit that the child has after renew(), in bytes, -1 for none."""
        return self._limits[name][0]

    def maps(self) -> bytes:
        """Return the text of its maps."""
        text = os.pread(self._maps_fd, _CHUNK, 0)
        while more := os.pread(self._maps_fd, _CHUNK, len(text)):
            text += more
        return text

    def layout(self) -> tuple[int, int]:
        """Return the stack pointer at exec, a byte address, and the size of its data, in bytes.

        Source: proc_pid_stat(5).
        """
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        start_stack, start_data, end_data = (int(fields[n - 3]) for n in (28, 45, 46))
        return start_stack, end_data - start_data

    def capabilities(self) -> int:
        """Return its effective set as a bit mask."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("CapEff:")[2].split()[0], 16)

    def close(self) -> None:
        """End the child; once is enough, twice does no harm."""
        with suppress(ProcessLookupError):
            self._tracee.end()
        for fd in {self._maps_fd, self._input} - {-1}:
            os.close(fd)
        self._maps_fd = self._input = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _spawn(files: tuple[int, ...]) -> tuple[int, int]:
    """Start the program; return its pid and the end of the pipe that it reads from.

    In a process group of its own, so that Ctrl-C is for us alone.
    """
    program = minimal_elf.in_memory()
    reading, writing = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, reading, 0), (os.POSIX_SPAWN_DUP2, program, _PROGRAM_FD)]
    actions += [(os.POSIX_SPAWN_DUP2, fd, FIRST_FD + n) for n, fd in enumerate(files)]
    try:
        path = f"/proc/self/fd/{_PROGRAM_FD}"
        pid = os.posix_spawn(path, ["minimal"], {}, file_actions=actions, setpgroup=0)
    except OSError as error:
        os.close(writing)
        raise OutOfReach(f"a minimal program cannot be run here: {describe(error)}") from error
    finally:
        os.close(reading)
        os.close(program)
    return pid, writing


def _number(name: str) -> int:
    return int(getattr(resource, f"RLIMIT_{name}"))
