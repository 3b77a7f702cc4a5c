"""The engine's side: the same operations on an engine process."""

import errno
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from untorn.conform.answer import InodeNumbers
from untorn.conform.huge_pages import counts_of
from untorn.conform.kernel_side import COUNTS, policies_of
from untorn.conform.operation import LIMITS, SYSCALLS, Operation, bits_of
from untorn.conform.traced import minimal_elf
from untorn.conform.traced.open_file import vm_file
from untorn.errors import os_error
from untorn.maps.page import PAGE_SIZE
from untorn.mm.calls.shm import ShmSegment
from untorn.mm.limits import RLIM_INFINITY
from untorn.mm.mm_types import MmStruct
from untorn.mm.mmap_lock import mmap_write_lock, mmap_write_unlock
from untorn.syscalls import Process

_CHUNK = 1 << 16
FactsOf = Callable[[int, int, int], dict[str, Any]]
"""See Oracle.substitute()."""


class EngineSide:
    """An engine process and its ancestors. A result is a negated errno if it is negative.

    Any exception except OSError, from any method, is a fault of the engine.

    Attributes:
        sealed: Whether the program is sealed.
        truncated: Descriptors of the files that were truncated.
    """

    def __init__(
        self,
        process: Process,
        facts_of: FactsOf,
        segments: Sequence[ShmSegment],
        *,
        sealed: bool = True,
    ) -> None:
        """Start with one process; its program is sealed if the child's is.

        Args:
            process: The process.
            facts_of: Returns the facts of files that scripts open.
            segments: The segments that can be attached, by number.
            sealed: Whether to seal the program.
        """
        self.sealed = sealed
        self.truncated: set[int] = set()
        self._segments = segments
        self._facts_of = facts_of
        self._sizes: Counter[tuple[int, int]] = Counter()
        if sealed:
            process.mseal(minimal_elf.BASE, PAGE_SIZE)
        self._inodes = InodeNumbers()
        self._family = [process]
        # One lock for all VMAs takes the least time; all readers show the same of them.
        self._files = [process.open(reader="mmap_lock")]

    @property
    def mm(self) -> MmStruct:
        """The address space of the process that makes the calls."""
        return self._family[-1].mm

    @property
    def generation(self) -> int:
        """How many of its ancestors still exist."""
        return len(self._family) - 1

    def do(self, operation: Operation) -> int:
        """Do an operation other than crowd."""
        owner = self._family[-1] if operation.name in SYSCALLS else self
        name = operation.name if operation.name in SYSCALLS else f"_{operation.name}"
        try:
            result: int | None = getattr(owner, name)(*operation.arguments)
        except OSError as error:
            return -(error.errno or 0)
        return result or 0

    def maps(self) -> bytes:
        """Return the text of maps: see Side."""
        file = self._files[-1]
        file.seek(0)
        return self._inodes.put_into(b"".join(iter(lambda: file.read(_CHUNK), b"")))

    def counts(self) -> dict[str, int]:
        """Return the counts in pages; for huge pages, those of all pools."""
        of_process = {name: getattr(self.mm, name) for name in COUNTS}
        return of_process | counts_of(self.mm.huge_pools)

    def policies(self) -> bytes:
        """Return where each VMA is and its memory policy: see KernelSide.policies()."""
        if not self.mm.limits.mems_allowed:
            return b""
        with self._family[-1].open("numa_maps") as file:
            return policies_of(b"".join(iter(lambda: file.read(_CHUNK), b"")))

    def smaps(self) -> bytes:
        """Return the text of smaps: see Side."""
        with self._family[-1].open("smaps") as file:
            return b"".join(iter(lambda: file.read(_CHUNK), b""))

    def check(self) -> None:
        """Check the engine against itself. Raises InvariantError as check_invariants()."""
        mmap_write_lock(self.mm)
        try:
            self.mm.check_invariants()
        finally:
            mmap_write_unlock(self.mm)

    def _ftruncate(self, fd: int, length: int) -> None:
        for process in self._family:
            process.ftruncate(fd, length)
        self.truncated.add(fd)

    def _mincore(self, addr: int, length: int, vec: int) -> int:
        return bits_of(self._family[-1].mincore(addr, length, vec))

    def _shmat(self, number: int, addr: int, flags: int) -> int:
        if number not in range(len(self._segments)):
            raise os_error(errno.EINVAL)
        return self._family[-1].shmat(self._segments[number], addr, flags)

    def _smaps(self) -> None:
        """Do nothing: see Operation."""

    def _touch_read(self, addr: int) -> None:
        self._family[-1].touch(addr, write=False)

    def _touch_write(self, addr: int) -> None:
        self._family[-1].touch(addr, write=True)

    def _set_anon_name(self, addr: int, length: int, number: int) -> None:
        name = None if number < 0 else minimal_elf.STRINGS[number]
        self._family[-1].set_anon_name(addr, length, name)

    def _setrlimit(self, number: int, soft: int) -> None:
        changed: dict[str, Any] = {
            f"rlimit_{LIMITS[number].lower()}": RLIM_INFINITY if soft == -1 else soft
        }
        self.mm.limits = replace(self.mm.limits, **changed)

    def _open_file(self, fd: int, number: int, size: int, flags: int, where: int) -> int:
        facts = self._facts_of(number, flags, where)
        self._sizes[number, where] = max(self._sizes[number, where], size, facts["size"])
        file = vm_file(facts | {"size": self._sizes[number, where]})
        self._family[-1].files[fd] = file
        return fd

    def _start_brk(self, addr: int) -> None:
        self.mm.start_brk = self.mm.brk = addr

    def _capset(self) -> None:
        self.mm.limits = replace(
            self.mm.limits,
            cap_ipc_lock=False,
            cap_sys_nice=False,
            cap_sys_rawio=False,
            cap_sys_admin=False,
        )

    def _fork(self) -> None:
        copy = self._family[-1].fork()
        self._family.append(copy)
        self._files.append(copy.open(reader="mmap_lock"))

    def _exit(self) -> None:
        self._end(-1)

    def _orphan(self) -> None:
        while self.generation:
            self._end(0)

    def _end(self, number: int) -> None:
        """End a process of the family as its parent sees it: nothing of it is left."""
        self._files.pop(number).close()
        process = self._family.pop(number)
        process.exit()
        process.reap()
