"""Whether a caller reads a symbolic link or follows it: for FUSE both are one request.

It sleeps in its system call until it has its answer, and /proc/TID/syscall tells in which. A link
in the middle of the path is followed by readlink(2), too; so the path is looked at. The kernel has
just read it: no page is made resident.
"""

import os
import platform

from untorn.maps.page import PAGE_SIZE
from untorn.serve.caller.memory import CallerMemory
from untorn.serve.fuse.node import Caller

# By the number of the call, which of its arguments is the path.
_CALLS, _CALLS_OF_32_BITS = {
    "x86_64": ({89: 0, 267: 1}, {85: 0, 305: 1}),
    "aarch64": ({78: 1}, {85: 0, 332: 1}),
    "riscv64": ({78: 1}, {}),
}.get(platform.machine(), ({}, {}))
_PATH_MAX = 4096


def reads_link(proc: int, caller: Caller, name: bytes) -> bool:
    """Tell whether a caller wants the text of a link, by readlink(2) or readlinkat(2).

    Whatever else it does follows the link, and so does what we may not know.

    Args:
        proc: A descriptor of the procfs that tells what callers do.
        caller: Who asks for the link.
        name: The link's, in its folder.
    """
    try:
        number, *arguments = _system_call(proc, caller.tid)
        is_of_32_bits = all(register < 1 << 32 for register in arguments[-2:])  # stack and code
        path = (_CALLS_OF_32_BITS if is_of_32_bits else _CALLS).get(number)
        if path is None:
            return False
        text = _text(caller.tid, arguments[path])
    except (OSError, ValueError):  # it is gone, or not ours to look at; it is in no call
        return False
    return not text or text.rpartition(b"/")[2] == name


def _system_call(proc: int, tid: int) -> list[int]:
    """Return the number of the call, its six arguments, stack pointer and program counter."""
    file = os.open(f"{tid}/syscall", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    try:
        return [int(word, 0) for word in os.read(file, 256).split()]
    finally:
        os.close(file)


def _text(tid: int, addr: int) -> bytes:
    """Return the path at a byte address in a caller's memory; b"" if it is empty."""
    memory, text = CallerMemory(tid, 0, b""), b""
    while b"\0" not in text and len(text) < _PATH_MAX:
        place = addr + len(text)
        text += memory.copy_from_user(place, PAGE_SIZE - place % PAGE_SIZE)
    return text.partition(b"\0")[0]
