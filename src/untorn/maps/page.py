"""Pages and the limits of address spaces on x86-64."""

PAGE_SHIFT = 12
PAGE_SIZE = 1 << PAGE_SHIFT
PMD_SHIFT = 21
PMD_SIZE = 1 << PMD_SHIFT
"""The size of a huge page in bytes."""
PUD_SIZE = 1 << 30
"""The size of a gigantic page in bytes."""
TASK_SIZE = (1 << 47) - PAGE_SIZE
"""The first byte address that a 64-bit process cannot use with four-level page tables.

With five levels, a process needs a hint to get addresses above it (DEFAULT_MAP_WINDOW).
"""
TASK_SIZE_5LEVEL = (1 << 56) - PAGE_SIZE
"""The first byte address that a 64-bit process cannot use with five-level page tables."""
IA32_PAGE_OFFSET = 0xFFFF_E000
"""The first byte address that a 32-bit process of a 64-bit kernel cannot use.

Source: arch/x86/include/asm/page_64_types.h.
"""
IA32_PAGE_OFFSET_3GB = 0xC000_0000
"""That address under personality ADDR_LIMIT_3GB."""
KERNEL_HALF = 1 << 63
"""The first byte address of the kernel's half. Only [vsyscall] is above it in maps."""
ULONG_MAX = (1 << 64) - 1
UINT_MAX = (1 << 32) - 1


def page_align(size: int) -> int:
    """Round size up to whole pages. It wraps at 64 bits, as in the kernel."""
    return (size + PAGE_SIZE - 1) & -PAGE_SIZE & ULONG_MAX


def page_aligned(value: int) -> bool:
    """Return whether value is a multiple of the page size."""
    return value & (PAGE_SIZE - 1) == 0
