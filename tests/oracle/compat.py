"""A 32-bit process of the running kernel, stopped, that makes the calls that it is told to.

Its program is one page that waits for input. Source: elf(5); arch/x86/entry/syscalls/
syscall_32.tbl for the numbers, syscall(2) for the registers of i386.
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
from untorn.conform.traced.ptrace import Tracee
from untorn.maps.page import PAGE_SIZE, UINT_MAX

BASE = 0x0804_8000
"""Byte address of the page."""
_HEADERS = 52 + 2 * 32
_CODE = bytes.fromhex(
    "b803000000"  # mov eax, 3: read
    "31db"  # xor ebx, ebx: from stdin
    "89e1"  # mov ecx, esp
    "ba01000000"  # mov edx, 1
    "cd80"  # int 0x80
    "b801000000"  # mov eax, 1: exit
    "31db"  # xor ebx, ebx
    "cd80"  # int 0x80
)
SYSCALL = BASE + _HEADERS + _CODE.index(b"\xcd\x80")
"""Byte address of an instruction that makes a system call."""
_WAITS_FOR_INPUT = b"3 0x0 "
_RAX, _ORIG_RAX, _RIP = 10, 15, 16
_ARGUMENTS = 5, 11, 12, 13, 14, 4
"""Where rbx, rcx, rdx, rsi, rdi and rbp stand in struct user_regs_struct."""
_NUMBERS = {"brk": 45, "munmap": 91, "mprotect": 125, "mremap": 163, "madvise": 219, "mmap": 192}


def image(*, old: bool) -> bytes:
    """Return the bytes of the executable file; old ones do not say what stack they want."""
    size = _HEADERS + len(_CODE)
    identity = b"\x7fELF" + bytes((1, 1, 1)).ljust(12, b"\0")  # 32 bits, little-endian
    i386, executable, load, gnu_stack, note = 3, 2, 1, 0x6474_E551, 4
    header = struct.pack(
        "<16sHHIIIIIHHHHHH",
        *(identity, executable, i386, 1, BASE + _HEADERS, 52, 0, 0, 52, 32, 2, 0, 0, 0),
    )
    page = struct.pack("<8I", load, 0, BASE, BASE, size, size, 5, PAGE_SIZE)
    return (
        header + page + struct.pack("<8I", note if old else gnu_stack, 0, 0, 0, 0, 0, 6, 16) + _CODE
    )


class Tracee32(Tracee):
    """A traced child whose arguments go to the registers of i386."""

    __slots__ = ()

    def _prepare(self, syscall_at: int, number: int, arguments: tuple[int, ...]) -> None:
        super()._prepare(syscall_at, number, ())
        for register, value in zip(_ARGUMENTS, arguments, strict=False):
            self._registers[register] = value & UINT_MAX
        self._ask(13, self._where)  # PTRACE_SETREGS


class Compat:
    """The stopped process."""

    def __init__(self, pid: int) -> None:
        self._tracee = Tracee32.seize(pid)
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
        value = self._tracee.call(SYSCALL, _NUMBERS[name], *arguments) & UINT_MAX
        return value - (1 << 32) if value > UINT_MAX - 4095 else value


@contextmanager
def compat_process(path: Path, *command: str, old: bool = False) -> Iterator[Compat]:
    """Run the program, from this path, by a command such as setarch; skip if that cannot be."""
    if reason := why_not():
        pytest.skip(reason)
    path.write_bytes(image(old=old))
    path.chmod(0o700)
    try:
        # With so little above it, the stack begins in its last page, as from_maps() takes it to.
        environment = {"PATH": os.defpath}
        child = subprocess.Popen([*command, str(path)], stdin=subprocess.PIPE, env=environment)
    except OSError as error:
        pytest.skip(f"no 32-bit program runs here: {error}")
    try:
        syscall = Path(f"/proc/{child.pid}/syscall")
        try:
            wait_until(
                lambda: child.poll() is not None or syscall.read_bytes()[:6] == _WAITS_FOR_INPUT
            )
            if child.poll() is not None:
                pytest.skip(f"no 32-bit program runs here: it ended with {child.returncode}")
            yield Compat(child.pid)
        except PermissionError as error:
            pytest.skip(f"processes cannot be traced here: {error}")
    finally:
        child.kill()
        child.communicate()
