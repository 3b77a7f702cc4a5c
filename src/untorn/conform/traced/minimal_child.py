"""A child whose address space changes only by the calls that it is told to make."""

import errno
import os
import resource
from array import array
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from untorn.conform.traced import minimal_elf
from untorn.conform.traced.abi import X86_64, Abi
from untorn.conform.traced.member import Layout, Member, pages_of
from untorn.conform.traced.start import PROGRAM_FD, start_minimal
from untorn.errors import OutOfReachError
from untorn.maps.entry import MapsEntry
from untorn.maps.page import PAGE_SIZE
from untorn.maps.pagemap import ENTRY_SIZE, PM_PRESENT

STACK_LIMIT = 8 << 20
"""Bytes; RLIMIT_STACK at exec. Small enough for the default mmap_base."""
FIRST_FD = 500
"""Descriptors of the child's files are counted from here."""
_MPOL_DEFAULT = 0
_ADDR_NO_RANDOMIZE, _ADDR_COMPAT_LAYOUT = 0x4_0000, 0x20_0000
_AT_EMPTY_PATH = 0x1000
_LIMITS = ("AS", "DATA", "MEMLOCK", "STACK")


class MinimalChild:
    """A process with one page of program, without randomization, stopped between calls.

    It may fork: then the copy makes the calls, until it ends and its parent goes on. If the kernel
    has mseal(2), its program is sealed, so that no call can take it away.

    Attributes:
        abi: The ABI of its program.
        sealed: Whether its program is sealed.

    Use it as a context manager, or call close(): all its processes are killed by PID in any case;
    they also end with this process.
    """

    sealed: bool

    def __init__(
        self, files: tuple[int, ...] = (), *, abi: Abi = X86_64, topdown: bool = True
    ) -> None:
        """Start the child.

        Args:
            files: Descriptors to give it, as FIRST_FD and so on.
            abi: The ABI of its program.
            topdown: False to place its mappings from the bottom up.

        Raises:
            OutOfReachError: Tracing, or disabling randomization, is forbidden here.
        """
        self.abi = abi
        self._family: list[Member] = []
        descriptors = {FIRST_FD + number: fd for number, fd in enumerate(files)}
        tracee, self._lifeline = start_minimal(descriptors, abi, own_group=True)
        try:
            self._family.append(Member(tracee))
            layout = 0 if topdown else _ADDR_COMPAT_LAYOUT
            if self.call("personality", _ADDR_NO_RANDOMIZE | layout) < 0:
                raise OutOfReachError("address randomization cannot be disabled here")
            self._limits = {name: resource.prlimit(self.pid, _number(name)) for name in _LIMITS}
            self._limits["STACK"] = _at_most(STACK_LIMIT, self.hard_limit("STACK"))
            self.renew()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The PID of the process that makes the calls; the same after renew()."""
        return self._family[-1].tracee.pid

    @property
    def generation(self) -> int:
        """How many ancestors of the process that makes the calls still exist."""
        return len(self._family) - 1

    def call(self, name: str, *arguments: int) -> int:
        """Make a system call; see Tracee.call()."""
        return self._family[-1].tracee.call(minimal_elf.SYSCALL, name, *arguments)

    def exec(self, name: str, *arguments: int) -> None:
        """Make it call execveat(2); raises as Tracee.exec()."""
        self._family[-1].tracee.exec(minimal_elf.SYSCALL, name, *arguments)
        self._family[-1].reopen()

    def fork(self) -> None:
        """Make it fork; the copy makes the calls from now on. Raises as Tracee.fork()."""
        self._family.append(Member(self._family[-1].tracee.fork(minimal_elf.SYSCALL)))

    def exit(self) -> None:
        """End the copy that makes the calls; its parent goes on."""
        self._family.pop().end()

    def orphan(self) -> None:
        """End all its ancestors, the oldest first."""
        while self.generation:
            self._family.pop(0).end()

    def renew(self) -> None:
        """Start over alone, with a new address space and the initial limits and capabilities.

        Raises:
            OutOfReachError: Its program cannot be sealed although the kernel has mseal(2).
        """
        self.orphan()
        for name, limits in self._limits.items():
            resource.prlimit(self.pid, _number(name), limits)
        self.call("set_mempolicy", _MPOL_DEFAULT, 0, 0)  # it would survive an exec
        empty, argv = minimal_elf.EMPTY_STRING, minimal_elf.ARGV
        arguments = PROGRAM_FD, empty, argv, 0, _AT_EMPTY_PATH
        self.exec("execveat", *arguments)
        error = -self.call("mseal", minimal_elf.BASE, PAGE_SIZE, 0)
        if error not in (0, errno.ENOSYS):
            raise OutOfReachError(f"mseal does not work here: {os.strerror(error)}")
        self.sealed = not error

    def poke(self, data: bytes) -> int:
        """Write data to the start of its stack, which its program does not use; return where.

        Raises:
            OSError: EIO if nothing is mapped there any more.
        """
        addr = Layout.of(self.pid).start_stack
        with Path(f"/proc/{self.pid}/mem").open("r+b", buffering=0) as memory:
            os.pwrite(memory.fileno(), data, addr)
        return addr

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
        """Return the soft limit of the child after renew(), in bytes, -1 for none."""
        return self._limits[name][0]

    def maps(self) -> bytes:
        """Return the text of its maps."""
        return self._family[-1].maps()

    def smaps(self) -> bytes:
        """Return the text of its smaps."""
        return Path(f"/proc/{self.pid}/smaps").read_bytes()

    def numa_maps(self) -> bytes:
        """Return the text of its numa_maps; nothing if this kernel has none."""
        try:
            return Path(f"/proc/{self.pid}/numa_maps").read_bytes()
        except FileNotFoundError:
            return b""

    def memory(self, addr: int, size: int) -> bytes:
        """Return size bytes at a byte address. Raises OSError EIO if nothing is there."""
        return self._family[-1].memory(addr, size)

    def pages(self, names: Mapping[str, Iterable[str]]) -> dict[str, int]:
        """Return sums of memory counters in /proc/PID/status, such as VmSize, in pages.

        Args:
            names: The name of each sum, and the fields to add for it.

        Raises:
            ChildProcessError: It has no memory any longer, because it ended.

        Source: proc_pid_status(5).
        """
        pages = pages_of(self._family[-1].status(), names)
        if not pages:
            raise ChildProcessError(f"the traced child {self.pid} ended")
        return pages

    def resident(self) -> list[int]:
        """Return the byte addresses of the pages of its program and stack that are in memory.

        Source: proc_pid_pagemap(5).
        """
        found = []
        with Path(f"/proc/{self.pid}/pagemap").open("rb", buffering=0) as pagemap:
            for entry in map(MapsEntry.parse, self.maps().splitlines(keepends=True)):
                if entry.start == minimal_elf.BASE or entry.name == b"[stack]":
                    pages = range(entry.start, entry.end, PAGE_SIZE)
                    size, at = ENTRY_SIZE * len(pages), entry.start // PAGE_SIZE * ENTRY_SIZE
                    told = array("Q", os.pread(pagemap.fileno(), size, at))
                    found += [
                        page for page, bits in zip(pages, told, strict=True) if bits & PM_PRESENT
                    ]
        return found

    def layout(self) -> tuple[int, int]:
        """Return the stack pointer at exec, a byte address, and the size of its data, in bytes.

        Source: proc_pid_stat(5).
        """
        layout = Layout.of(self.pid)
        return layout.start_stack, layout.end_data - layout.start_data

    def capabilities(self) -> int:
        """Return its effective set as a bit mask."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("CapEff:")[2].split()[0], 16)

    def close(self) -> None:
        """End all processes; a second call does nothing."""
        while self._family:
            self._family.pop().end()
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _at_most(wanted: int, hard: int) -> tuple[int, int]:
    """Return a soft and a hard limit, bytes; -1 for none."""
    return (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)), hard


def _number(name: str) -> int:
    return int(getattr(resource, f"RLIMIT_{name}"))
