"""Count the pages of an address space, and check the limits before it grows.

The limits are RLIMIT_AS, RLIMIT_DATA, RLIMIT_MEMLOCK and overcommit. Every function needs mmap_lock
held for write.
"""

from untorn.maps.page import PAGE_SHIFT
from untorn.mm.limits import OVERCOMMIT_ALWAYS, OVERCOMMIT_NEVER, RLIM_INFINITY
from untorn.mm.mm_types import MmStruct, is_data_mapping, vm_stat_kind
from untorn.mm.mman import VM_ACCOUNT, VM_LOCKED


def may_expand_vm(mm: MmStruct, vm_flags: int, pages: int) -> bool:
    """Return whether RLIMIT_AS and RLIMIT_DATA let the address space grow by a number of pages.

    Args:
        mm: The address space.
        vm_flags: VM_* bits of the mapping.
        pages: How many pages it grows by; negative if it shrinks.

    Compare mm/mmap.c:may_expand_vm().
    """
    limits = mm.limits
    if limits.rlimit_as != RLIM_INFINITY and mm.total_vm + pages > limits.rlimit_as >> PAGE_SHIFT:
        return False
    data_limit = limits.rlimit_data or limits.rlimit_data_max  # soft 0: Valgrind sets that
    return (
        data_limit == RLIM_INFINITY
        or not is_data_mapping(vm_flags)
        or mm.data_vm + pages <= data_limit >> PAGE_SHIFT
    )


def may_commit(mm: MmStruct, pages: int) -> bool:
    """Return whether this many pages may be committed. Compare mm/util.c:__vm_enough_memory()."""
    limits = mm.limits
    if limits.overcommit_memory == OVERCOMMIT_NEVER:
        return mm.vm_committed.pages.load() + pages < commit_allowed(mm)
    # OVERCOMMIT_GUESS checks the new mapping alone, whatever is committed already.
    return limits.overcommit_memory == OVERCOMMIT_ALWAYS or pages <= limits.totalram_pages


def commit_allowed(mm: MmStruct) -> int:
    """Return how many pages OVERCOMMIT_NEVER may commit in all when mm asks for some."""
    limits = mm.limits
    reserve = 0 if limits.cap_sys_admin else limits.admin_reserve
    return limits.commit_limit - reserve - min(mm.total_vm // 32, limits.user_reserve)


def can_do_mlock(mm: MmStruct) -> bool:
    """Return whether the process may lock memory at all. Compare mm/mlock.c:can_do_mlock()."""
    return mm.limits.cap_ipc_lock or mm.limits.rlimit_memlock != 0


def mlock_future_ok(mm: MmStruct, vm_flags: int, pages: int) -> bool:
    """Return whether RLIMIT_MEMLOCK allows this many more pages, if vm_flags lock them.

    Compare mm/mmap.c:mlock_future_ok().
    """
    if not vm_flags & VM_LOCKED or mm.limits.cap_ipc_lock:
        return True
    # As in Linux, the limit is rounded down to whole pages.
    return mm.locked_vm + pages <= mm.limits.rlimit_memlock >> PAGE_SHIFT


def vma_account(mm: MmStruct, flags: int, pages: int) -> None:
    """Add pages of a mapping with these VM_* flags to the counters, or subtract if negative.

    Compare mm/mmap.c:vm_stat_account().
    """
    # Plain additions are enough: with mmap_lock held for write, only this task stores these fields.
    mm.total_vm += pages
    kind = vm_stat_kind(flags)
    if kind:
        setattr(mm, kind, getattr(mm, kind) + pages)
    if flags & VM_LOCKED:
        mm.locked_vm += pages
    if flags & VM_ACCOUNT:
        commit(mm, pages)


def commit(mm: MmStruct, pages: int) -> None:
    """Add pages to the committed memory, or subtract them if negative.

    Only OVERCOMMIT_NEVER needs that number, so the other modes do not count.
    """
    if mm.limits.overcommit_memory == OVERCOMMIT_NEVER:
        mm.vm_committed.pages.add(pages)


def pages_mapped(mm: MmStruct, start: int, end: int, flags: int = 0) -> int:
    """Return how many pages of [start, end), byte addresses, are in VMAs with these VM_* flags."""
    pages = 0
    vma = mm.find_vma(start)
    while vma is not None and vma.vm_start < end:
        if vma.vm_flags & flags == flags:
            pages += min(vma.vm_end, end) - max(vma.vm_start, start) >> PAGE_SHIFT
        vma = mm.find_vma(vma.vm_end)
    return pages
