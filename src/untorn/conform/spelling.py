"""Operations in words: flags by their names, addresses in hexadecimal."""

import errno

from untorn.mm import mman

_DECIMAL = 4096
"""Numbers below this are easier to read in decimal."""


def _names(prefix: str, *left_out: str) -> dict[int, str]:
    """Return the names of mman.py that begin with prefix, by their number."""
    return {
        value: name
        for name, value in vars(mman).items()
        if name.startswith(prefix) and isinstance(value, int) and name not in left_out
    }


_PROT = _names("PROT_", "PROT_NONE")
_MAP = _names("MAP_", "MAP_TYPE", "MAP_HUGE_MASK", "MAP_SHARED_VALIDATE")
_MREMAP = _names("MREMAP_")
_MADV = _names("MADV_")
_MCL = _names("MCL_")
_MLOCK = {mman.MLOCK_ONFAULT: "MLOCK_ONFAULT"}
_FLAGS = {
    ("mmap", 2): _PROT,
    ("mmap", 3): _MAP,
    ("mprotect", 2): _PROT,
    ("mremap", 3): _MREMAP,
    ("mlock2", 2): _MLOCK,
    ("mlockall", 0): _MCL,
}
"""By call and number of the argument."""
_LIMITS = ("RLIMIT_AS", "RLIMIT_DATA", "RLIMIT_MEMLOCK", "RLIMIT_STACK")


def spell(name: str, arguments: tuple[int, ...]) -> str:
    """Return a call as C would have it."""
    words = [_argument(name, number, value) for number, value in enumerate(arguments)]
    return f"{name}({', '.join(words)})"


def spell_result(result: int) -> str:
    """Return a result, or the name of an errno."""
    if -_DECIMAL < result < 0:
        return errno.errorcode.get(-result, str(result))
    return _number(result)


def outcome_name(result: int) -> str:
    """Return "ok", or the name of an errno."""
    return "ok" if result >= 0 else spell_result(result)


def _argument(call: str, position: int, value: int) -> str:
    if (call, position) in _FLAGS:
        return _bits(value, _FLAGS[call, position])
    if (call, position) == ("madvise", 2):
        return _MADV.get(value, str(value))
    if (call, position) == ("setrlimit", 0):
        return _LIMITS[value]
    return _number(value)


def _number(value: int) -> str:
    return str(value) if abs(value) < _DECIMAL else hex(value)


def _bits(value: int, names: dict[int, str]) -> str:
    words = [name for bit, name in names.items() if value & bit]
    unknown = value & ~sum(names)
    return " | ".join([*words, hex(unknown)] if unknown else words) or "0"
