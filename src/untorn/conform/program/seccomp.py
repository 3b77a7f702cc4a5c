"""A seccomp filter that stops a program at the relevant calls, and lets all others pass.

Source: seccomp(2), bpf(4); include/uapi/linux/seccomp.h, audit.h.
"""

import struct
from collections.abc import Iterable

from untorn.conform.program.calls import OF_32_BITS, OF_64_BITS, Calls
from untorn.conform.traced.ptrace import AUDIT_ARCH_X86_64

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
_TRACE, _ALLOW = 0x7FF0_0000, 0x7FFF_0000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
"""Byte offsets in struct seccomp_data."""
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_PROGRAM_HEADER = 16
"""Size of struct sock_fprog in bytes."""
_Instruction = tuple[int, int, int, int]


def sock_fprog(addr: int) -> bytes:
    """Return a struct sock_fprog and its instructions, to be placed at a byte address."""
    instructions = _filter()
    code = b"".join(struct.pack("<HBBI", *each) for each in instructions)
    return struct.pack("<H6xQ", len(instructions), addr + _PROGRAM_HEADER) + code


def _filter() -> list[_Instruction]:
    """Return the filter."""
    of_64_bits = _stops_at(OF_64_BITS)
    return [
        (_LOAD, 0, 0, _ARCHITECTURE),
        *_case(AUDIT_ARCH_X86_64, of_64_bits),
        *_stops_at(OF_32_BITS),
    ]


def _stops_at(calls: Calls) -> list[_Instruction]:
    """Return instructions that stop at some calls of one ABI, and let all others pass."""
    by_argument = [
        instruction
        for number, (position, names) in calls.by_argument.items()
        for instruction in _case(number, _by_argument(position, names))
    ]
    return [
        (_LOAD, 0, 0, _NUMBER),
        *_stops(sorted(calls.names)),
        *by_argument,
        _answer(_ALLOW),
    ]


def _by_argument(position: int, values: Iterable[int]) -> list[_Instruction]:
    """Return instructions that stop only at some values of an argument's low half."""
    return [(_LOAD, 0, 0, _ARGUMENTS + 8 * position), *_stops(values), _answer(_ALLOW)]


def _stops(values: Iterable[int]) -> list[_Instruction]:
    """Return instructions that stop if the loaded word is one of these."""
    cases = [_case(value, [_answer(_TRACE)]) for value in values]
    return [instruction for case in cases for instruction in case]


def _case(value: int, then: list[_Instruction]) -> list[_Instruction]:
    """Return instructions that skip `then` unless the loaded word is this value."""
    return [(_JUMP_IF_EQUAL, 0, len(then), value), *then]


def _answer(answer: int) -> _Instruction:
    return (_RETURN, 0, 0, answer)
