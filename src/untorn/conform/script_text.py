"""Scripts as text: flags, advice, limits and files by name, addresses in hexadecimal.

parse_cases() in case_text.py reads what format_script() writes.
"""

import ast
import errno
import os
from collections.abc import Iterator
from itertools import combinations

from untorn.conform.expression import Names, parse_expression, value_of
from untorn.conform.files import FDS, MAPPED
from untorn.conform.operation import ARGUMENTS, IN_MEMORY, LIMITS, ON_DISK, Operation
from untorn.conform.segments import SEGMENT_NUMBERS
from untorn.conform.traced import minimal_elf
from untorn.maps.page import PAGE_SIZE
from untorn.mm import mempolicy, mman
from untorn.mm.calls import shm

_DECIMAL = 4096
"""Smaller numbers are easier to read in decimal."""
Numbers = dict[int, str]


def _names(prefix: str, *left_out: str) -> Numbers:
    """Return the names in mman.py and mempolicy.py that begin with prefix, by their values."""
    return {
        value: name
        for name, value in (vars(mman) | vars(mempolicy)).items()
        if name.startswith(prefix) and isinstance(value, int) and name not in left_out
    }


_PROT = _names("PROT_", "PROT_NONE")
_MAP = _names("MAP_", "MAP_TYPE", "MAP_SHARED_VALIDATE", *_names("MAP_HUGE_").values())
_SHM_FLAGS = "SHM_RDONLY", "SHM_RND", "SHM_REMAP", "SHM_EXEC"
_BITS = {
    ("mmap", 2): _PROT,
    ("mmap", 3): _MAP,
    ("mprotect", 2): _PROT,
    ("mremap", 3): _names("MREMAP_"),
    ("mlock2", 2): {mman.MLOCK_ONFAULT: "MLOCK_ONFAULT"},
    ("mlockall", 0): _names("MCL_"),
    ("mbind", 2): _names("MPOL_F_"),
    ("mbind", 4): _names("MPOL_MF_"),
    ("set_mempolicy", 0): _names("MPOL_F_"),
    ("msync", 2): _names("MS_"),
    ("shmat", 2): {number: name for name, number in vars(shm).items() if name in _SHM_FLAGS},
}
"""Arguments that are sums of bits, by call and position."""
_ONE_OF = {
    ("mmap", 4): {number: name for name, number in FDS.items()},
    ("madvise", 2): _names("MADV_"),
    ("open_file", 3): {os.O_RDONLY: "O_RDONLY", os.O_WRONLY: "O_WRONLY", os.O_RDWR: "O_RDWR"},
    ("open_file", 4): {ON_DISK: "ON_DISK", IN_MEMORY: "IN_MEMORY"},
    ("ftruncate", 0): {number: name for name, number in FDS.items()},
    ("shmat", 0): {number: name for name, number in SEGMENT_NUMBERS.items()},
    ("setrlimit", 0): {number: f"RLIMIT_{name}" for number, name in enumerate(LIMITS)},
    ("set_anon_name", 2): {
        number: repr(text.decode()) for number, text in enumerate(minimal_elf.STRINGS)
    },
}
"""Arguments that are one of some values."""
CONSTANTS: Names = (
    {name: value for names in _BITS.values() for value, name in names.items()}
    | {name: value for names in _ONE_OF.values() for value, name in names.items()}
    | {name: -number for name, number in vars(errno).items() if name.startswith("E")}
    | {name: number for number, name in _names("MPOL_", *_names("MPOL_MF_").values()).items()}
    | {"PAGE": PAGE_SIZE, "PROT_NONE": mman.PROT_NONE}
)
"""Names known to every script; the name of an errno means its negated value."""


def format_operation(operation: Operation) -> str:
    """Return an operation as C writes it."""
    words = [
        _argument(operation.name, position, value)
        for position, value in enumerate(operation.arguments)
    ]
    return f"{operation.name}({', '.join(words)})"


def parse_operation(text: str) -> Operation:
    """Return the operation of a line that format_operation() wrote; raises as operation_of()."""
    return operation_of(parse_expression(text), CONSTANTS)


def operation_of(call: ast.expr, names: Names) -> Operation:
    """Return the operation that a call means, with the values of its arguments.

    Raises:
        ValueError: There is no such operation, or an argument is invalid.
    """
    if not isinstance(call, ast.Call) or ast.unparse(call.func) not in ARGUMENTS:
        raise ValueError(f"{ast.unparse(call)!r} is no operation")
    name, count = ast.unparse(call.func), len(call.args)
    if call.keywords or count != ARGUMENTS[name]:
        raise ValueError(f"{name} has {ARGUMENTS[name]} arguments, {ast.unparse(call)!r} has not")
    return Operation(name, tuple(value_of(argument, names) for argument in call.args))


def format_script(operations: list[Operation]) -> Iterator[str]:
    """Yield a line for each operation, preceded by what the names of files in them mean."""
    words = [format_operation(operation) for operation in operations]
    for name, what in MAPPED.items():
        if any(f" {name}," in line for line in words):
            yield f"# {name}: {what}"
    yield from words


def simpler(operation: Operation) -> Iterator[Operation]:
    """Yield the operation with fewer flags, the fewest first."""
    for (call, position), names in _BITS.items():
        if call == operation.name:
            bits = [bit for bit in names if operation.arguments[position] & bit]
            for count in range(len(bits)):
                for kept in combinations(bits, count):
                    arguments = list(operation.arguments)
                    arguments[position] &= sum(kept)
                    yield Operation(call, tuple(arguments))


def format_result(result: int) -> str:
    """Return a result, or the name of an errno."""
    if -_DECIMAL < result < 0:
        return errno.errorcode.get(-result, str(result))
    return _number(result)


def result_name(result: int) -> str:
    """Return "ok", or the name of an errno."""
    return "ok" if result >= 0 else format_result(result)


def _argument(call: str, position: int, value: int) -> str:
    if (call, position) in _BITS:
        return _sum_of(value, _BITS[call, position])
    return _ONE_OF.get((call, position), {}).get(value) or _number(value)


def _number(value: int) -> str:
    return str(value) if abs(value) < _DECIMAL else hex(value)


def _sum_of(value: int, names: Numbers) -> str:
    words = [name for bit, name in names.items() if value & bit]
    unknown = value & ~sum(names)
    return " | ".join([*words, hex(unknown)] if unknown else words) or "0"
