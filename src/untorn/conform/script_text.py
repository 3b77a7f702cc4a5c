"""Scripts as text: flags, advice, limits and files by their names, addresses in hexadecimal.

What format_script() writes, parse_script() reads.
"""

import errno
import re
from collections.abc import Iterator
from itertools import combinations

from untorn.conform.files import FDS, MAPPED
from untorn.conform.operation import ARGUMENTS, LIMITS, Operation
from untorn.conform.traced import minimal_elf
from untorn.mm import mman

_DECIMAL = 4096
"""Numbers below this are easier to read in decimal."""
Names = dict[int, str]


def _names(prefix: str, *left_out: str) -> Names:
    """Return the names of mman.py that begin with prefix, by their number."""
    return {
        value: name
        for name, value in vars(mman).items()
        if name.startswith(prefix) and isinstance(value, int) and name not in left_out
    }


_PROT = _names("PROT_", "PROT_NONE")
_MAP = _names("MAP_", "MAP_TYPE", "MAP_SHARED_VALIDATE", *_names("MAP_HUGE_").values())
_BITS = {
    ("mmap", 2): _PROT,
    ("mmap", 3): _MAP,
    ("mprotect", 2): _PROT,
    ("mremap", 3): _names("MREMAP_"),
    ("mlock2", 2): {mman.MLOCK_ONFAULT: "MLOCK_ONFAULT"},
    ("mlockall", 0): _names("MCL_"),
}
"""Arguments that are a sum of bits, by call and position."""
_ONE_OF = {
    ("mmap", 4): {number: name for name, number in FDS.items()},
    ("madvise", 2): _names("MADV_"),
    ("setrlimit", 0): {number: f"RLIMIT_{name}" for number, name in enumerate(LIMITS)},
    ("set_anon_name", 2): {
        number: repr(text.decode()) for number, text in enumerate(minimal_elf.STRINGS)
    },
}
"""Arguments that are one of some numbers."""
_ALL_NAMES = {name: value for names in _BITS.values() for value, name in names.items()} | {
    name: value for names in _ONE_OF.values() for value, name in names.items()
}
_CALL = re.compile(r"(\w+)\((.*)\)")


def format_operation(operation: Operation) -> str:
    """Return an operation as C would have it."""
    words = [
        _argument(operation.name, position, value)
        for position, value in enumerate(operation.arguments)
    ]
    return f"{operation.name}({', '.join(words)})"


def parse_operation(text: str) -> Operation:
    """Return the operation of such a line; numbers may be written in other ways.

    Raises:
        ValueError: There is no such operation, or one of its arguments means nothing.
    """
    call = _CALL.fullmatch(text.strip())
    if call is None or call[1] not in ARGUMENTS:
        raise ValueError(f"{text!r} is no operation")
    words = call[2].split(",") if call[2].strip() else []
    if len(words) != ARGUMENTS[call[1]]:
        raise ValueError(f"{call[1]} has {ARGUMENTS[call[1]]} arguments, {text!r} has not")
    return Operation(call[1], tuple(sum(map(_value, word.split("|"))) for word in words))


def parse_script(text: str) -> list[Operation]:
    """Return the operations of a script, one a line; lines that begin with # are left out.

    Raises:
        ValueError: as parse_operation(), with the number of the line.
    """
    operations = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            try:
                operations.append(parse_operation(line))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
    return operations


def format_script(operations: list[Operation]) -> Iterator[str]:
    """Yield a line for each operation, after what the names of files in them mean."""
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


def _sum_of(value: int, names: Names) -> str:
    words = [name for bit, name in names.items() if value & bit]
    unknown = value & ~sum(names)
    return " | ".join([*words, hex(unknown)] if unknown else words) or "0"


def _value(word: str) -> int:
    word = word.strip()
    return _ALL_NAMES[word] if word in _ALL_NAMES else int(word, 0)
