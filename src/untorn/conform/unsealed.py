"""Calls that would take away the page of the child's program, though it may be sealed.

Before Linux 6.10 there is no mseal(2). After that, a seal on a file's page does not stop guards.
"""

from untorn.conform.operation import Operation
from untorn.conform.segments import SEGMENTS
from untorn.conform.traced import minimal_elf
from untorn.maps.page import PAGE_SIZE
from untorn.mm.calls.shm import SHM_REMAP
from untorn.mm.mman import MADV_GUARD_INSTALL, MAP_FIXED, MREMAP_FIXED

UNSEALED = "without mseal nothing protects the program of the child"
GUARDED = "a guard on the program of the child, which no seal keeps away"


def takes_the_program_away(operation: Operation, *, sealed: bool) -> str:
    """Return the reason if a call could take away the executing page, else ""."""
    name, arguments = operation.name, operation.arguments
    if name == "madvise" and arguments[2] == MADV_GUARD_INSTALL and _covers(*arguments[:2]):
        return GUARDED
    return UNSEALED if not sealed and _takes_away(operation) else ""


def _takes_away(operation: Operation) -> bool:
    """Return whether a call could unmap, replace, move or forbid it."""
    match operation.name, operation.arguments:
        case "mmap", (addr, length, _, flags, *_):
            return bool(flags & MAP_FIXED) and _covers(addr, length)
        case "munmap" | "mprotect", (addr, length, *_):
            return _covers(addr, length)
        case "shmat", (_, addr, flags):
            return bool(flags & SHM_REMAP) and _covers(addr, max(SEGMENTS.values()))
        case "mremap", (old, old_length, new_length, flags, new):
            onto = bool(flags & MREMAP_FIXED) and _covers(new, new_length)
            return onto or _covers(old, max(old_length, 1))
    return False


def _covers(addr: int, length: int) -> bool:
    """Return whether pages that begin at addr include the program's."""
    return addr < minimal_elf.BASE + PAGE_SIZE and addr + length > minimal_elf.BASE
