"""Start a program under the filter: traced, and stopped before its first instruction."""

import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from untorn.conform.program.processes import ADDR_NO_RANDOMIZE
from untorn.conform.program.seccomp import (
    PR_SET_NO_NEW_PRIVS,
    PR_SET_SECCOMP,
    SECCOMP_MODE_FILTER,
    sock_fprog,
)
from untorn.conform.traced import minimal_elf
from untorn.conform.traced.ptrace import PTRACE_SETOPTIONS, Tracee, ptrace
from untorn.conform.traced.start import PROGRAM_FD, start_minimal
from untorn.errors import OutOfReachError, os_error
from untorn.maps.page import page_align
from untorn.mm.mman import MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE


def start_program(path: str, argv: Sequence[str], options: int, *, filtered: bool) -> int:
    """Start a program without address randomization; return its PID.

    Args:
        path: Path of the program.
        argv: Its arguments, beginning with the name under which it is called.
        options: PTRACE_O_* bits for tracing it from its exec on.
        filtered: Whether it gets the filter.

    Raises:
        OSError: The program cannot be executed.
        OutOfReachError: Tracing or filters are forbidden here.
    """
    tracee, lifeline = start_minimal({}, own_group=False)
    try:
        if _call(tracee, "personality", ADDR_NO_RANDOMIZE) < 0:
            raise OutOfReachError("address randomization cannot be disabled here")
        arguments = _exec_arguments(tracee, os.fsencode(path), [os.fsencode(each) for each in argv])
        if filtered:
            _set_filter(tracee)  # it cannot map memory now: nobody listens to the filter yet
        for fd in minimal_elf.LIFELINE_FD, PROGRAM_FD:
            _call(tracee, "close", fd)
        tracee.exec(minimal_elf.SYSCALL, "execve", *arguments)
        ptrace(PTRACE_SETOPTIONS, tracee.pid, options)
    except BaseException:
        with suppress(ProcessLookupError):
            tracee.end()
        raise
    finally:
        os.close(lifeline)
    return tracee.pid


def _set_filter(tracee: Tracee) -> None:
    addr = _room(tracee, len(sock_fprog(0)))
    _poke(tracee, addr, sock_fprog(addr))
    arguments = PR_SET_SECCOMP, SECCOMP_MODE_FILTER, addr
    error = _call(tracee, "prctl", *arguments)
    # Without CAP_SYS_ADMIN a filter needs no_new_privs. That costs nothing beyond tracing: setuid
    # programs gain no rights over their caller either way.
    if error and not _call(tracee, "prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        error = _call(tracee, "prctl", *arguments)
    if error:
        raise OutOfReachError(f"no seccomp filter can be set here: {os.strerror(-error)}")


def _exec_arguments(tracee: Tracee, path: bytes, argv: list[bytes]) -> tuple[int, int, int]:
    """Return the byte addresses of a path, of arguments, and of our environment."""
    strings = [path, *argv, *(b"%s=%s" % pair for pair in os.environb.items())]
    vectors = 8 * (len(strings) + 1)  # without the path, with two NULLs
    addr = _room(tracee, vectors + sum(len(string) + 1 for string in strings))
    places, at = [], addr + vectors
    for string in strings:
        places.append(at)
        at += len(string) + 1
    pointers = [*places[1 : 1 + len(argv)], 0, *places[1 + len(argv) :], 0]
    packed = struct.pack(f"{len(pointers)}Q", *pointers)
    _poke(tracee, addr, packed + b"".join(string + b"\0" for string in strings))
    return places[0], addr, addr + 8 * (len(argv) + 1)


def _room(tracee: Tracee, size: int) -> int:
    """Return the byte address of new memory that the program can read and write."""
    flags = MAP_PRIVATE | MAP_ANONYMOUS
    addr = _call(tracee, "mmap", 0, page_align(size), PROT_READ | PROT_WRITE, flags, -1, 0)
    if addr < 0:
        raise os_error(-addr)
    return addr


def _poke(tracee: Tracee, addr: int, data: bytes) -> None:
    with Path(f"/proc/{tracee.pid}/mem").open("r+b", buffering=0) as memory:
        os.pwrite(memory.fileno(), data, addr)


def _call(tracee: Tracee, name: str, *arguments: int) -> int:
    return tracee.call(minimal_elf.SYSCALL, name, *arguments)
