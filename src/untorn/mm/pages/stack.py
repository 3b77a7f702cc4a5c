"""Grow a stack: a fault below a VM_GROWSDOWN VMA extends it.

Compare mm/vma.c:expand_downwards(), acct_stack_growth(); mm/mmap_lock.c:lock_mm_and_find_vma().
"""

import errno

from untorn.errors import os_error
from untorn.maps.page import PAGE_SHIFT, PAGE_SIZE
from untorn.mm.mm_types import MmStruct, Vma, vma_add_pgoff
from untorn.mm.mman import VM_ACCESS_FLAGS, VM_ACCOUNT, VM_GROWSDOWN
from untorn.mm.vma_lock import vma_start_write
from untorn.mm.vmas.accounting import (
    commit,
    may_commit,
    may_expand_vm,
    mlock_future_ok,
    vma_account,
)
from untorn.mm.vmas.rmap import vma_anon_prepare
from untorn.mm.vmas.vm_area import vma_store


def expand_stack(mm: MmStruct, addr: int) -> Vma:
    """Return the VMA that holds addr, after growing the VMA above down to it if needed.

    Preconditions: mmap_lock held for write.

    Raises:
        OSError: EFAULT if the VMA above does not grow down; EPERM below mmap_min_addr; ENOMEM if
            the guard gap or a limit is in the way. The caller turns all of them into SIGSEGV.
    """
    vma = mm.find_vma(addr)
    if vma is None or (vma.vm_start > addr and not vma.vm_flags & VM_GROWSDOWN):
        raise os_error(errno.EFAULT)
    if vma.vm_start > addr:
        _expand_downwards(mm, vma, addr & -PAGE_SIZE)
    return vma


def _expand_downwards(mm: MmStruct, vma: Vma, start: int) -> None:
    if start < mm.limits.mmap_min_addr:
        raise os_error(errno.EPERM)
    prev = mm.find_vma_prev(vma.vm_start)
    if prev is not None and _guards(prev) and start - prev.vm_end < mm.limits.stack_guard_gap:
        raise os_error(errno.ENOMEM)
    # As in Linux, this comes before the checks: a refused growth leaves an unused anon_vma.
    vma_anon_prepare(mm, vma)
    vma_start_write(vma)
    pages = vma.vm_start - start >> PAGE_SHIFT
    if pages > vma.vm_pgoff or not _may_grow(mm, vma, start, pages):
        raise os_error(errno.ENOMEM)
    vma_account(mm, vma.vm_flags, pages)
    # As in Linux, the new pages are committed even if those of the mapping are not. Then they stay
    # committed when the mapping goes.
    if not vma.vm_flags & VM_ACCOUNT:
        commit(mm, pages)
    # Change the bounds first, then store vma once over its old and new range. A reader that finds
    # vma below its old start can lock it only after the section, when the bounds agree.
    vma.vm_start = start
    vma_add_pgoff(vma, -pages)
    vma_store(mm, vma)


def _guards(prev: Vma) -> bool:
    """Return whether a stack must keep its guard gap from the VMA below it."""
    # A VMA that cannot be accessed already is a guard. Two stacks may be adjacent.
    return not prev.vm_flags & VM_GROWSDOWN and bool(prev.vm_flags & VM_ACCESS_FLAGS)


def _may_grow(mm: MmStruct, vma: Vma, start: int, pages: int) -> bool:
    return (
        may_expand_vm(mm, vma.vm_flags, pages)
        and vma.vm_end - start <= mm.limits.rlimit_stack
        and mlock_future_ok(mm, vma.vm_flags, pages)
        and may_commit(mm, pages)
    )
