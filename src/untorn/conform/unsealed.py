"""A program that no seal protects: which calls would take it away.

Before Linux 6.10 there is no mseal(2).
"""

from untorn.conform.operation import Operation
from untorn.conform.traced import minimal_elf
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mman import MAP_FIXED, MREMAP_FIXED

REASON = "without mseal nothing protects the program of the child"


def takes_the_program_away(operation: Operation) -> bool:
    """Say whether a call could unmap, replace, move or forbid the page that is executed."""
    match operation.name, operation.arguments:
        case "mmap", (addr, length, _, flags, *_):
            return bool(flags & MAP_FIXED) and _covers(addr, length)
        case "munmap" | "mprotect", (addr, length, *_):
            return _covers(addr, length)
        case "mremap", (old, old_length, new_length, flags, new):
            onto = bool(flags & MREMAP_FIXED) and _covers(new, new_length)
            return onto or _covers(old, max(old_length, 1))
    return False


def _covers(addr: int, length: int) -> bool:
    """Say whether pages that begin at addr include the program's."""
    return addr < minimal_elf.BASE + PAGE_SIZE and addr + length > minimal_elf.BASE
