"""Pages and the limits of an x86-64 address space with four-level page tables."""

PAGE_SHIFT = 12
PAGE_SIZE = 1 << PAGE_SHIFT
PMD_SIZE = 1 << 21
"""Bytes that one huge page maps."""
TASK_SIZE = (1 << 47) - PAGE_SIZE
"""The first byte address that user space cannot have."""
ULONG_MAX = (1 << 64) - 1


def page_align(size: int) -> int:
    """Round size up to whole pages, wrapping at 64 bits as the kernel does."""
    return (size + PAGE_SIZE - 1) & -PAGE_SIZE & ULONG_MAX


def page_aligned(value: int) -> bool:
    """Say whether value is a multiple of the page size."""
    return value & (PAGE_SIZE - 1) == 0
