"""Reasons for mmap to refuse a call; with two at once, the errno shows which check comes first.

The order of Linux's checks decides the errno of a call with several faults.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from untorn.conform.files import FDS
from untorn.conform.traced import minimal_elf
from untorn.maps.page import PAGE_SIZE, ULONG_MAX
from untorn.mm.mman import (
    MAP_32BIT,
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_LOCKED,
    MAP_NORESERVE,
    MAP_SHARED_VALIDATE,
    MAP_SYNC,
    MAP_TYPE,
    PROT_EXEC,
    PROT_WRITE,
)

UNKNOWN_FLAG, UNKNOWN_TYPE, NO_SUCH_FD = 1 << 24, 0x4, 3000
_LAST_OFFSET = (1 << 63) - PAGE_SIZE
"""Offset in bytes of the last page of the largest file."""
_ADDR, _LENGTH, _PROT, _FLAGS, _FD, _OFFSET = range(6)
_ALL = -1


@dataclass(frozen=True, slots=True)
class Reason:
    """A change of mmap's arguments for which some mapping is refused.

    Attributes:
        what: The reason in words.
        changes: By position of the argument: the bits to remove, and the bits to add instead.
    """

    what: str
    changes: dict[int, tuple[int, int]]

    def given(self, arguments: tuple[int, ...]) -> tuple[int, ...]:
        """Return the arguments with this change."""
        changed = list(arguments)
        for position, (removed, added) in self.changes.items():
            changed[position] = changed[position] & ~removed | added
        return tuple(changed)

    def fits(self, other: "Reason") -> bool:
        """Return whether a call can have both: neither removes what the other adds."""
        return all(
            not (removed & other.changes.get(position, (0, 0))[1])
            and not (added & other.changes.get(position, (0, 0))[0])
            for position, (removed, added) in self.changes.items()
        )


def _flags(what: str, added: int, removed: int = 0) -> Reason:
    return Reason(what, {_FLAGS: (removed, added)})


def _of_type(what: str, map_type: int, flags: int = 0) -> Reason:
    return _flags(what, map_type | flags, MAP_TYPE & ~map_type)


def _at(what: str, addr: int, how: int = MAP_FIXED) -> Reason:
    return Reason(what, {_ADDR: (_ALL, addr), _FLAGS: (0, how)})


def _argument(what: str, position: int, value: int) -> Reason:
    return Reason(what, {position: (_ALL, value)})


_REASONS = (
    _argument("no length", _LENGTH, 0),
    _argument("a length that rounds to 0", _LENGTH, ULONG_MAX),
    _argument("an offset that is not aligned", _OFFSET, 1),
    _argument("the last offset", _OFFSET, _LAST_OFFSET),
    _argument("an offset past the last", _OFFSET, _LAST_OFFSET + PAGE_SIZE),
    _argument("no such descriptor", _FD, NO_SUCH_FD),
    _argument("a directory", _FD, FDS["DIRECTORY"]),
    _argument("a file without mmap, not to be executed", _FD, FDS["NO_MMAP"]),
    _argument("a sealed file", _FD, FDS["SEALED"]),
    _argument("an append-only file", _FD, FDS["APPEND_ONLY"]),
    _argument("a file for reading", _FD, FDS["ONE_READ_ONLY"]),
    _argument("a file for writing", _FD, FDS["ONE_WRITE_ONLY"]),
    _argument("to be written and executed", _PROT, PROT_WRITE | PROT_EXEC),
    _at("too low", 0),
    _at("over what is sealed", minimal_elf.BASE),
    _at("in the way", minimal_elf.BASE, MAP_FIXED_NOREPLACE),
    _flags("not to replace", MAP_FIXED_NOREPLACE),
    _flags("locked", MAP_LOCKED),
    _flags("a stack", MAP_GROWSDOWN),
    _flags("synchronous", MAP_SYNC),
    _flags("an unknown flag", UNKNOWN_FLAG),
    _flags("below 2 GiB", MAP_32BIT),
    _flags("not reserved", MAP_NORESERVE),
    _flags("anonymous", MAP_ANONYMOUS),
    _of_type("no type", 0),
    _of_type("an unknown type", UNKNOWN_TYPE),
    _of_type("droppable", MAP_DROPPABLE),
    _of_type("validated", MAP_SHARED_VALIDATE),
    _of_type("validated and synchronous", MAP_SHARED_VALIDATE, MAP_SYNC),
    _of_type("validated with an unknown flag", MAP_SHARED_VALIDATE, UNKNOWN_FLAG),
)


def reasons(arena: int, task_size: int) -> tuple[Reason, ...]:
    """Return all known reasons; arena is a byte address that may be mapped.

    None of them lets a large range be mapped, which a lock would fill.
    """
    return (
        *_REASONS,
        _argument("a length above TASK_SIZE", _LENGTH, task_size + 1),
        _argument("no hole so large", _LENGTH, task_size),
        _at("not aligned", arena + 1),
        _at("above TASK_SIZE", task_size),
        _at("across TASK_SIZE", task_size - PAGE_SIZE),
    )


def pairs(of: tuple[Reason, ...]) -> Iterator[tuple[Reason, Reason]]:
    """Yield all pairs that one call can have."""
    return ((one, other) for one, other in combinations(of, 2) if one.fits(other))
