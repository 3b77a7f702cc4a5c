"""A program of one page: it waits for its parent's end, and obeys its tracer.

Its address space is as small as possible: this page, a stack, and what the kernel adds.
Source: elf(5), execveat(2), capset(2).
"""

import os
import struct
from pathlib import Path

from untorn.conform.traced.abi import I386, X86_64, Abi
from untorn.maps.page import PAGE_SIZE
from untorn.releases.changes import MFD_EXEC
from untorn.releases.release import running_release

BASE = 0x40_0000
"""Byte address of the page."""
LIFELINE_FD = 401
"""Descriptor of a pipe that nobody writes to; its other end closes when its parent ends."""
_HEADERS = 64 + 2 * 56
"""Size of the ELF header and of two program headers; those of 32 bits are smaller."""
_CODES = {
    X86_64.name: bytes.fromhex(
        "b800000000"  # mov eax, 0: read
        "bf91010000"  # mov edi, 401: from LIFELINE_FD
        "4889e6"  # mov rsi, rsp
        "ba01000000"  # mov edx, 1
        "0f05"  # syscall
        "b83c000000"  # mov eax, 60: exit
        "31ff"  # xor edi, edi
        "0f05"  # syscall
    ),
    I386.name: bytes.fromhex(
        "b803000000"  # mov eax, 3: read
        "bb91010000"  # mov ebx, 401: from LIFELINE_FD
        "89e190"  # mov ecx, esp; nop
        "ba01000000"  # mov edx, 1
        "cd80"  # int 0x80
        "b801000000"  # mov eax, 1: exit
        "31db"  # xor ebx, ebx
        "cd80"  # int 0x80
    ),
}
"""Of equal length, with each system call instruction at the same place."""
SYSCALL = BASE + _HEADERS + 18
"""Byte address of a system call instruction."""
_CODE_SIZE = 32
_DATA = BASE + _HEADERS + _CODE_SIZE
_NAME = b"minimal\0"
ARGV = _DATA
"""Byte address of an argument vector: the name of the program.

Of two words of 64 bits or, which are the same bytes, of three of 32.
"""
EMPTY_STRING = _DATA + 16 + len(_NAME) - 1
"""Byte address of a NUL."""
CAPABILITY_HEADER = _DATA + 16 + len(_NAME)
"""Byte address of a header for capset(2) that names the caller."""
IDLE_CAPABILITIES = CAPABILITY_HEADER + 8
"""Byte address of sets for it, the effective one empty.

What is permitted stays, as an exec that gained some would bring randomization back.
"""
NODEMASKS = 0, 1, 2, 3, 1 << 40
"""Sets of NUMA nodes, as bits, that the program holds for mbind(2)."""
MAXNODE = 65
"""maxnode for the 64 nodes of each."""
_NODEMASKS_AT = IDLE_CAPABILITIES + 24
STRINGS = b"a name", b"x", b"odd [name]", b"n" * 80
_STRINGS_AT = _NODEMASKS_AT + 8 * len(NODEMASKS)
_CAPABILITY_VERSION_3 = 0x2008_0522
_EXECUTABLE, _LOAD, _GNU_STACK = 2, 1, 0x6474_E551
_READ_WRITE, _READ_EXECUTE = 6, 5


def image(abi: Abi = X86_64, permitted: int = 0) -> bytes:
    """Return the bytes of the executable file; permitted is a bit mask of capabilities."""
    low, high = permitted & 0xFFFF_FFFF, permitted >> 32
    sets = struct.pack("<4xI4x4xI4x", low, high)
    data = struct.pack("<QQ8sII", _DATA + 16, 0, _NAME, _CAPABILITY_VERSION_3, 0) + sets
    data += struct.pack(f"<{len(NODEMASKS)}Q", *NODEMASKS)
    data += b"\0".join((*STRINGS, b""))
    body = _CODES[abi.name].ljust(_CODE_SIZE, b"\0") + data
    headers = _headers_64 if abi is X86_64 else _headers_32
    return headers(_HEADERS + len(body)).ljust(_HEADERS, b"\0") + body


def _headers_64(size: int) -> bytes:
    identity = b"\x7fELF" + bytes((2, 1, 1)).ljust(12, b"\0")  # 64 bits, little-endian
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(identity, _EXECUTABLE, 62, 1, BASE + _HEADERS, 64, 0, 0),
        *(64, 56, 2, 0, 0, 0),
    )
    load = struct.pack("<IIQQQQQQ", _LOAD, _READ_EXECUTE, 0, BASE, BASE, size, size, PAGE_SIZE)
    return header + load + struct.pack("<IIQQQQQQ", _GNU_STACK, _READ_WRITE, 0, 0, 0, 0, 0, 16)


def _headers_32(size: int) -> bytes:
    identity = b"\x7fELF" + bytes((1, 1, 1)).ljust(12, b"\0")  # 32 bits, little-endian
    header = struct.pack(
        "<16sHHIIIIIHHHHHH",
        *(identity, _EXECUTABLE, 3, 1, BASE + _HEADERS, 52, 0, 0),
        *(52, 32, 2, 0, 0, 0),
    )
    load = struct.pack("<8I", _LOAD, 0, BASE, BASE, size, size, _READ_EXECUTE, PAGE_SIZE)
    return header + load + struct.pack("<8I", _GNU_STACK, 0, 0, 0, 0, 0, _READ_WRITE, 16)


def nodemask_at(mask: int) -> int:
    """Return the byte address of one of NODEMASKS."""
    return _NODEMASKS_AT + 8 * NODEMASKS.index(mask)


def string_at(number: int) -> int:
    """Return the byte address of one of STRINGS, which ends with a NUL there."""
    return _STRINGS_AT + sum(len(text) + 1 for text in STRINGS[:number])


def in_memory(abi: Abi = X86_64) -> int:
    """Return a new descriptor of the program, in a file in memory.

    Raises:
        OSError: as memfd_create(2).
    """
    executable = 0x10 if running_release().has(MFD_EXEC) else 0  # no name before Python 3.14
    fd = os.memfd_create("minimal", os.MFD_CLOEXEC | executable)
    os.write(fd, image(abi, _permitted()))
    return fd


def _permitted() -> int:
    """Return the permitted capabilities of this process. Source: proc_pid_status(5)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("CapPrm:")[2].split()[0], 16)
