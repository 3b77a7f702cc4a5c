"""How an address space got its present form, as a script that needs no program.

It starts with the maps of the program at its start: other files of the same size replace its files,
and shared memory, which never merges, replaces what the kernel maps itself. For other calls it
records their effect: what vanished is unmapped, what appeared is mapped.
"""

import os
from collections.abc import Iterable

from untorn.conform.files import FDS
from untorn.conform.operation import IN_MEMORY, LIMITS, ON_DISK, SYSCALLS, Operation
from untorn.conform.program.engine_calls import EngineCall
from untorn.conform.traced import minimal_elf
from untorn.fs.proc.show_map import show_map
from untorn.maps.entry import MapsEntry
from untorn.maps.page import PAGE_SHIFT
from untorn.mm.file import VmFile
from untorn.mm.limits import RLIM_INFINITY, Limits
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mman import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    PROT_READ,
    PROT_WRITE,
    VM_ACCESS_FLAGS,
    VM_GROWSDOWN,
    VM_MAYSHARE,
    VM_NORESERVE,
)

_FIRST_FD = 600
"""The script's descriptors are counted from here; those of conform.files are below."""
_ROOM_FOR_VDSO = 1 << 16
"""Bytes below mmap_base in which the kernel maps its own things for the minimal program."""
_LARGEST_FILE = 1 << 34
"""Bytes; nothing is written to it."""
_NAMES = 2
"""How many of minimal_elf.STRINGS, the first ones, can be names of memory."""


class History:
    """What has been done so far.

    Attributes:
        operations: Operations for a fresh child.
        errors: What some of them returned, as negated errnos by position.
    """

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.errors: dict[int, int] = {}
        self._fds: dict[VmFile, int] = {}
        self._numbers: dict[tuple[object, ...], int] = {}
        self._names: list[bytes] = []
        self._limits: Limits | None = None

    @classmethod
    def of_program(cls, mm: MmStruct, machine: Limits) -> "History":
        """Return the history of a program that has just begun.

        Args:
            mm: The engine's address space.
            machine: The limits of a fresh child.
        """
        history = cls()
        history._limits = machine
        history.operations += [
            Operation("munmap", (mm.mmap_base - _ROOM_FOR_VDSO, _ROOM_FOR_VDSO)),
            Operation("start_brk", (mm.start_brk,)),
        ]
        history.follow(b"", mm)
        return history

    @property
    def is_copy(self) -> bool:
        """Whether nothing was added since the fork that made it."""
        return self.operations[-1] == Operation("fork")

    def copy(self) -> "History":
        """Return the history of a child that a fork made."""
        child = History()
        child.operations = [*self.operations, Operation("fork")]
        child.errors = dict(self.errors)
        child._fds, child._numbers = dict(self._fds), dict(self._numbers)
        child._names, child._limits = list(self._names), self._limits
        return child

    def call(self, operation: Operation, result: int, call: EngineCall) -> bool:
        """Add a call of the program; return whether a script can have it.

        Args:
            operation: The call.
            result: What the kernel returned; a negated errno if it failed.
            call: What else is known of it.
        """
        made = self._translated(operation, call)
        if made is not None:
            if result < 0:
                self.errors[len(self.operations)] = result
            self.operations.append(made)
        return made is not None

    def touch(self, addrs: Iterable[int]) -> None:
        """Add writes to byte addresses."""
        self.operations += [Operation("touch_write", (addr,)) for addr in addrs]

    def bounded_by(self, limits: Limits) -> None:
        """Add what changes the limits to these."""
        for number, name in enumerate(LIMITS):
            field = f"rlimit_{name.lower()}"
            value = getattr(limits, field)
            if value != getattr(self._limits, field):
                soft = -1 if value == RLIM_INFINITY else value
                self.operations.append(Operation("setrlimit", (number, soft)))
        self._limits = limits

    def follow(self, before: bytes, mm: MmStruct) -> None:
        """Add what turns maps with this text into the engine's present maps."""
        old = set(before.splitlines(keepends=True))
        lines = {show_map(vma): vma for _, _, vma in mm.mm_mt}
        for line in sorted(old - lines.keys()):
            entry = MapsEntry.parse(line)
            if entry.name != b"[vsyscall]":
                self.operations.append(Operation("munmap", (entry.start, entry.end - entry.start)))
        for line, vma in lines.items():
            if line not in old:
                self._map(vma)

    def _translated(self, operation: Operation, call: EngineCall) -> Operation | None:
        name, arguments = operation.name, operation.arguments
        if name == "set_anon_name":
            return Operation(name, (*arguments[2:4], self._number_of_name(call.name)))
        if name == "mmap" and call.file is not None:
            return Operation(name, (*arguments[:4], self._fd(call.file), arguments[5]))
        if name == "mbind":
            made = Operation(name, (*arguments[:3], call.nodes, arguments[5]))
            return made if call.nodes in minimal_elf.NODEMASKS else None
        return operation if name in SYSCALLS and name != "shmdt" else None

    def _number_of_name(self, name: bytes | None) -> int:
        if name is None:
            return -1
        if name not in self._names:
            self._names.append(name)
        return self._names.index(name) % _NAMES

    def _map(self, vma: Vma) -> None:
        """Add calls that map vma, and give it pages of its own if it has any."""
        start, size, flags = vma.vm_start, vma.vm_end - vma.vm_start, vma.vm_flags
        if flags & VM_GROWSDOWN:
            self.touch([start])
            return
        owns = vma.anon_vma is not None
        prot = flags & VM_ACCESS_FLAGS
        asked = prot | PROT_READ | PROT_WRITE if owns else prot
        kind, fd, offset = self._kind_of(vma)
        self.operations.append(Operation("mmap", (start, size, asked, kind, fd, offset)))
        if owns:
            self.touch([start])
        if asked != prot:
            self.operations.append(Operation("mprotect", (start, size, prot)))

    def _kind_of(self, vma: Vma) -> tuple[int, int, int]:
        """Return MAP_* bits, descriptor and byte offset."""
        flags, file = vma.vm_flags, vma.vm_file
        kind = MAP_FIXED | (MAP_NORESERVE if flags & VM_NORESERVE else 0)
        kind |= MAP_SHARED if flags & VM_MAYSHARE else MAP_PRIVATE
        if file is not None and not file.is_anon_shmem:
            return kind, self._fd(file), vma.vm_pgoff << PAGE_SHIFT
        if file is None and vma.vm_ops is not None:
            kind = MAP_FIXED | MAP_SHARED
        return kind | MAP_ANONYMOUS, -1, 0

    def _fd(self, file: VmFile) -> int:
        """Return the descriptor of a file's substitute; open it if needed."""
        if file.is_zero or not file.can_mmap:
            return FDS["ZERO" if file.is_zero else "DIRECTORY"]
        if file not in self._fds:
            fd = self._fds[file] = _FIRST_FD + len(self._fds)
            number = self._numbers.setdefault((file.device, file.inode), len(self._numbers))
            access = os.O_RDWR if file.writable else os.O_RDONLY
            where = ON_DISK if file.huge_aligned else IN_MEMORY
            arguments = fd, number, min(file.size, _LARGEST_FILE), access, where
            self.operations.append(Operation("open_file", arguments))
        return self._fds[file]
