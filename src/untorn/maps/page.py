"""Pages and the limits of address spaces on x86-64."""

PAGE_SHIFT = 12
PAGE_SIZE = 1 << PAGE_SHIFT
PMD_SHIFT = 21
PMD_SIZE = 1 << PMD_SHIFT
"""Bytes that one huge page maps."""
PUD_SIZE = 1 << 30
"""Bytes that one gigantic page maps."""
TASK_SIZE = (1 << 47) - PAGE_SIZE
"""The first byte address that a 64-bit process cannot have with page tables of four levels.

With five it is the border of what a process gets without asking for more (DEFAULT_MAP_WINDOW).
"""
TASK_SIZE_5LEVEL = (1 << 56) - PAGE_SIZE
"""The first byte address that a 64-bit process cannot have with page tables of five levels."""
IA32_PAGE_OFFSET = 0xFFFF_E000
"""The first byte address that a 32-bit process of a 64-bit kernel cannot have.

Source: arch/x86/include/asm/page_64_types.h.
"""
IA32_PAGE_OFFSET_3GB = 0xC000_0000
"""The same under personality ADDR_LIMIT_3GB."""
KERNEL_HALF = 1 << 63
"""The first byte address that no process has; only [vsyscall] lies above."""
ULONG_MAX = (1 << 64) - 1
UINT_MAX = (1 << 32) - 1


def page_align(size: int) -> int:
    """Round size up to whole pages, wrapping at 64 bits as the kernel does."""
    return (size + PAGE_SIZE - 1) & -PAGE_SIZE & ULONG_MAX


def page_aligned(value: int) -> bool:
    """Say whether value is a multiple of the page size."""
    return value & (PAGE_SIZE - 1) == 0
