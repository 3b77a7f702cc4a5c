"""Where mappings are placed in a new address space. Compare arch/x86/mm/mmap.c."""

from untorn.maps.page import TASK_SIZE, UINT_MAX, ULONG_MAX, page_align
from untorn.mm.limits import Limits

SMALLEST_GAP = 128 << 20
"""Bytes between mmap_base and the top of the stack, at least."""


def legacy_base(task_size: int = TASK_SIZE) -> int:
    """Return the byte address from which on the bottom-up search goes."""
    return page_align(task_size // 3)


def largest_shift(task_size: int) -> int:
    """Return by how many bytes randomization moves mmap_base at most.

    Of pages, it is 28 bits (16 of a 32-bit process), and the 22 bits (11) by which it moves the
    stack, where the gap is not the smallest. Source: arch/x86/Kconfig, ARCH_MMAP_RND_BITS_MAX.
    """
    if task_size <= UINT_MAX:
        return (1 << 28) + (1 << 23)
    return (1 << 40) + (1 << 34)


def pick_mmap_base(limits: Limits, *, topdown: bool = True, task_size: int = TASK_SIZE) -> int:
    """Return mmap_base, a byte address, for a stack limit: the stack keeps its room above it.

    Without randomization. Compare arch/x86/mm/mmap.c:arch_pick_mmap_layout(), mmap_base().

    Args:
        limits: RLIMIT_STACK and the guard gap count.
        topdown: False for ADDR_COMPAT_LAYOUT or vm.legacy_va_layout: from the bottom up.
        task_size: The first byte address that the process cannot have.
    """
    if not topdown:
        return legacy_base(task_size)
    gap = limits.rlimit_stack
    if gap + limits.stack_guard_gap <= ULONG_MAX:
        gap += limits.stack_guard_gap
    return page_align(task_size - min(max(gap, SMALLEST_GAP), task_size // 6 * 5))
