"""Where mappings are placed in a new address space. Compare arch/x86/mm/mmap.c."""

from untorn.mm.limits import Limits
from untorn.mm.page import TASK_SIZE, ULONG_MAX, page_align

SMALLEST_GAP, LARGEST_GAP = 128 << 20, TASK_SIZE // 6 * 5
"""Bytes between mmap_base and the top of the stack."""
LEGACY_BASE = page_align(TASK_SIZE // 3)
"""Byte address from which on the bottom-up search goes."""
LARGEST_SHIFT = (1 << 40) + (1 << 34)
"""Bytes by which randomization moves mmap_base at most: 28 bits of pages, and the 22 bits by which
it moves the stack, where the gap is not the smallest."""


def pick_mmap_base(limits: Limits, *, topdown: bool = True) -> int:
    """Return mmap_base, a byte address, for a stack limit: the stack keeps its room above it.

    Without randomization. Compare arch/x86/mm/mmap.c:arch_pick_mmap_layout(), mmap_base().

    Args:
        limits: RLIMIT_STACK and the guard gap count.
        topdown: False for ADDR_COMPAT_LAYOUT or vm.legacy_va_layout: from the bottom up.
    """
    if not topdown:
        return LEGACY_BASE
    gap = limits.rlimit_stack
    if gap + limits.stack_guard_gap <= ULONG_MAX:
        gap += limits.stack_guard_gap
    return page_align(TASK_SIZE - min(max(gap, SMALLEST_GAP), LARGEST_GAP))
