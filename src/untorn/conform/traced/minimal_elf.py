"""A program of one page: it waits for the end of its input, and is there to be told what to do.

Its address space is as small as the kernel makes one: this page, a stack, what the kernel adds.
Source: elf(5), psABI for x86-64, execveat(2), capset(2).
"""

import os
import struct
from pathlib import Path

from untorn.maps.page import PAGE_SIZE
from untorn.releases.changes import MFD_EXEC
from untorn.releases.release import running_release

BASE = 0x40_0000
"""Byte address of the page."""
_HEADERS = 64 + 56
"""Bytes of the ELF header and of one program header."""
_CODE = bytes.fromhex(
    "31c0"  # xor eax, eax: read
    "31ff"  # xor edi, edi: from stdin
    "4889e6"  # mov rsi, rsp
    "ba01000000"  # mov edx, 1
    "0f05"  # syscall
    "b83c000000"  # mov eax, 60: exit
    "31ff"  # xor edi, edi
    "0f05"  # syscall
)
SYSCALL = BASE + _HEADERS + _CODE.index(b"\x0f\x05")
"""Byte address of a syscall instruction."""
_DATA = BASE + _HEADERS + len(_CODE) + -len(_CODE) % 8
_NAME = b"minimal\0"
ARGV = _DATA
"""Byte address of an argument vector: the name of the program."""
EMPTY_STRING = _DATA + 16 + len(_NAME) - 1
"""Byte address of a NUL."""
CAPABILITY_HEADER = _DATA + 16 + len(_NAME)
"""Byte address of a header for capset(2) that names the caller."""
IDLE_CAPABILITIES = CAPABILITY_HEADER + 8
"""Byte address of sets for it, the effective one empty.

What is permitted stays, as an exec that gained some would bring randomization back.
"""
STRINGS = b"a name", b"x", b"odd [name]", b"n" * 80
_STRINGS_AT = IDLE_CAPABILITIES + 24
_CAPABILITY_VERSION_3 = 0x2008_0522
_X86_64, _EXECUTABLE, _LOAD, _READ_EXECUTE = 62, 2, 1, 5


def image(permitted: int) -> bytes:
    """Return the bytes of the executable file; permitted is a bit mask of capabilities."""
    low, high = permitted & 0xFFFF_FFFF, permitted >> 32
    sets = struct.pack("<4xI4x4xI4x", low, high)
    data = struct.pack("<QQ8sII", _DATA + 16, 0, _NAME, _CAPABILITY_VERSION_3, 0) + sets
    data += b"\0".join((*STRINGS, b""))
    body = _CODE.ljust(_DATA - BASE - _HEADERS, b"\0") + data
    size = _HEADERS + len(body)
    identity = b"\x7fELF" + bytes((2, 1, 1)).ljust(12, b"\0")  # 64 bits, little-endian
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(identity, _EXECUTABLE, _X86_64, 1, BASE + _HEADERS, 64, 0, 0),
        *(64, 56, 1, 0, 0, 0),
    )
    load = struct.pack("<IIQQQQQQ", _LOAD, _READ_EXECUTE, 0, BASE, BASE, size, size, PAGE_SIZE)
    return header + load + body


def string_at(number: int) -> int:
    """Return the byte address of one of STRINGS, which ends with a NUL there."""
    return _STRINGS_AT + sum(len(text) + 1 for text in STRINGS[:number])


def in_memory() -> int:
    """Return a new descriptor of the program, in a file that lives in memory.

    Raises:
        OSError: as memfd_create(2).
    """
    executable = 0x10 if running_release().has(MFD_EXEC) else 0  # no name before Python 3.14
    fd = os.memfd_create("minimal", os.MFD_CLOEXEC | executable)
    os.write(fd, image(_permitted()))
    return fd


def _permitted() -> int:
    """Return the permitted capabilities of this process. Source: proc_pid_status(5)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("CapPrm:")[2].split()[0], 16)
