"""Operations: one value each, made on the engine and by a child of the running kernel."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from untorn.conform.spelling import spell
from untorn.live import minimal_elf
from untorn.live.minimal_child import FIRST_FD, MinimalChild
from untorn.mm.limits import RLIM_INFINITY
from untorn.syscalls import Process

LIMITS = ("AS", "DATA", "MEMLOCK", "STACK")
"""Resource limits, by the number that setrlimit has for them here."""
ZEROS_FD, SINK_FD = FIRST_FD, FIRST_FD + 1
"""Descriptors of the child: one to read zeros from, one to write to."""
SYSCALLS = {
    "mmap": 9,
    "mprotect": 10,
    "munmap": 11,
    "brk": 12,
    "mremap": 25,
    "madvise": 28,
    "munlock": 150,
    "mlockall": 151,
    "munlockall": 152,
    "mlock2": 325,
    "mseal": 462,
}
"""Numbers of x86-64. Source: arch/x86/entry/syscalls/syscall_64.tbl."""
_READ, _PWRITE64, _CAPSET = 0, 18, 126


@dataclass(frozen=True, slots=True)
class Operation:
    """A system call, an access to memory, or a change of what the process may do.

    Attributes:
        name: Of a system call; or touch_read and touch_write (byte address); setrlimit (number
            in LIMITS, soft limit in bytes or -1), which is done from outside; or capset, which
            makes all capabilities ineffective.
        arguments: As the call's, in its order; file descriptors are the child's.
    """

    name: str
    arguments: tuple[int, ...] = ()

    def __str__(self) -> str:
        return spell(self.name, self.arguments)


def on_kernel(child: MinimalChild, operation: Operation) -> int:
    """Have the child do it; return its result, or an errno negated."""
    name, arguments = operation.name, operation.arguments
    number = SYSCALLS.get(name)
    if number is not None:
        return child.call(number, *arguments)
    if name == "touch_write":
        return min(child.call(_READ, ZEROS_FD, arguments[0], 1), 0)
    if name == "touch_read":
        return min(child.call(_PWRITE64, SINK_FD, arguments[0], 1, 0), 0)
    if name == "capset":
        return child.call(_CAPSET, minimal_elf.CAPABILITY_HEADER, minimal_elf.IDLE_CAPABILITIES)
    child.set_limit(LIMITS[arguments[0]], arguments[1])
    return 0


def on_engine(process: Process, operation: Operation) -> int:
    """Do it on the engine; return its result, or an errno negated."""
    call = _ENGINE.get(operation.name) or getattr(process, operation.name)
    try:
        if operation.name in _ENGINE:
            result = call(process, *operation.arguments)
        else:
            result = call(*operation.arguments)
    except OSError as error:
        return -(error.errno or 0)
    return result or 0


def _touch_read(process: Process, addr: int) -> None:
    process.touch(addr, write=False)


def _touch_write(process: Process, addr: int) -> None:
    process.touch(addr, write=True)


def _set_limit(process: Process, number: int, soft: int) -> None:
    field = f"rlimit_{LIMITS[number].lower()}"
    value = RLIM_INFINITY if soft == -1 else soft
    changed: dict[str, Any] = {field: value}
    process.mm.limits = replace(process.mm.limits, **changed)


def _drop_capabilities(process: Process) -> None:
    process.mm.limits = replace(process.mm.limits, cap_ipc_lock=False, cap_sys_rawio=False)


_ENGINE: dict[str, Callable[..., int | None]] = {
    "touch_read": _touch_read,
    "touch_write": _touch_write,
    "setrlimit": _set_limit,
    "capset": _drop_capabilities,
}
