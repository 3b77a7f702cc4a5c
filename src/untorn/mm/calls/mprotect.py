"""Change the protection of a range, VMA by VMA.

Compare mm/mprotect.c:do_mprotect_pkey() and mprotect_fixup().
"""

import errno

from untorn.errors import os_error
from untorn.maps.page import PAGE_SHIFT, ULONG_MAX, page_align, page_aligned
from untorn.mm.mm_types import MmStruct, Vma, vma_is_anonymous
from untorn.mm.mman import (
    PROT_EXEC,
    PROT_GROWSDOWN,
    PROT_GROWSUP,
    PROT_READ,
    PROT_SEM,
    PROT_WRITE,
    VM_ACCESS_FLAGS,
    VM_ACCOUNT,
    VM_EXEC,
    VM_GROWSDOWN,
    VM_HUGETLB,
    VM_LOCKED,
    VM_MAYEXEC,
    VM_NORESERVE,
    VM_SHARED,
    VM_WRITE,
)
from untorn.mm.mmap_lock import mmap_write_lock_killable, mmap_write_unlock
from untorn.mm.pages.gup import populate_vma_page_range
from untorn.mm.vmas.accounting import may_commit, may_expand_vm, vma_account
from untorn.mm.vmas.driver import refuse_drivers
from untorn.mm.vmas.map_flags import prot_vm_flags
from untorn.mm.vmas.modify import vma_modify_flags
from untorn.mm.vmas.seal import is_sealed, refuse_sealed
from untorn.releases.changes import UNTOUCHED_UNACCOUNTED

_GROWS = PROT_GROWSDOWN | PROT_GROWSUP
_VALID = PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM


def do_mprotect(mm: MmStruct, start: int, length: int, prot: int) -> None:
    """Set the protection of [start, start + length).

    Args:
        mm: The address space; its mmap_lock is taken for write.
        start: Byte address, a multiple of the page size.
        length: Bytes, rounded up to whole pages; 0 does nothing.
        prot: PROT_READ, PROT_WRITE, PROT_EXEC, PROT_SEM, PROT_GROWSDOWN or PROT_GROWSUP bits.

    Raises:
        OSError: EINVAL, ENOMEM, EACCES or EPERM as mprotect(2) says. The pages before the failing
            one keep their new protection. EINTR if the task is killed while it waits for the lock.
        NotModelledError: The range reaches a driver's mapping; see driver.py.

    Source: mprotect(2); mm/mprotect.c:do_mprotect_pkey().
    """
    grows, prot = prot & _GROWS, prot & ~_GROWS
    if grows == _GROWS or not page_aligned(start):
        raise os_error(errno.EINVAL)
    if length == 0:
        return
    end = start + page_align(length)
    if end > ULONG_MAX or end <= start:
        raise os_error(errno.ENOMEM)
    if prot & ~_VALID:
        raise os_error(errno.EINVAL)
    mmap_write_lock_killable(mm)
    try:
        _mprotect_locked(mm, start, end, prot, grows)
    finally:
        mmap_write_unlock(mm)


def _mprotect_locked(mm: MmStruct, start: int, end: int, prot: int, grows: int) -> None:
    # Go VMA by VMA. As in Linux, the VMAs before a failure keep their new protection.
    vma = mm.find_vma(start)
    if vma is None:
        raise os_error(errno.ENOMEM)
    start = _first_page(vma, start, end, grows)
    refuse_drivers(mm, start, end, "mprotect", past_holes=False)
    refuse_sealed(mm, start, end)
    while start < end:
        # Look up by address each time: the previous VMA may have merged into this one.
        vma = mm.find_vma(start)
        if vma is None or vma.vm_start > start:
            raise os_error(errno.ENOMEM)
        piece_end = min(vma.vm_end, end)
        _mprotect_fixup(mm, vma, start, piece_end, _new_flags(mm, vma, prot))
        start = piece_end


def _first_page(vma: Vma, start: int, end: int, grows: int) -> int:
    # With PROT_GROWSDOWN the range begins where the stack does now.
    if grows & PROT_GROWSDOWN:
        if vma.vm_start >= end:
            raise os_error(errno.ENOMEM)
        if not vma.vm_flags & VM_GROWSDOWN:
            raise os_error(errno.EINVAL)
        return vma.vm_start
    if vma.vm_start > start:
        raise os_error(errno.ENOMEM)
    if grows & PROT_GROWSUP:
        raise os_error(errno.EINVAL)  # x86 has no VMA that grows up
    return start


def _new_flags(mm: MmStruct, vma: Vma, prot: int) -> int:
    if mm.read_implies_exec and prot & PROT_READ and vma.vm_flags & VM_MAYEXEC:
        prot |= PROT_EXEC
    # The VM_MAY* flags were set at mmap. For example, a shared mapping of a file opened only for
    # reading can never be made writable.
    flags = vma.vm_flags & ~VM_ACCESS_FLAGS | prot_vm_flags(prot)
    may = vma.vm_flags >> 4  # VM_MAYREAD, VM_MAYWRITE and VM_MAYEXEC are four bits higher
    if flags & ~may & VM_ACCESS_FLAGS:
        raise os_error(errno.EACCES)
    if mm.limits.deny_write_exec and _gains_exec(vma.vm_flags, flags):
        raise os_error(errno.EACCES)
    return flags


def _gains_exec(old: int, new: int) -> bool:
    """Compare include/linux/mman.h:map_deny_write_exec()."""
    return bool(new & VM_EXEC) and (bool(new & VM_WRITE) or not old & VM_EXEC)


def _mprotect_fixup(mm: MmStruct, vma: Vma, start: int, end: int, flags: int) -> None:
    """Give [start, end) of vma the flags. Preconditions: mmap_lock held for write."""
    old = vma.vm_flags
    pages = end - start >> PAGE_SHIFT
    if is_sealed(vma):
        raise os_error(errno.EPERM)
    if flags == old:
        return
    # Check the limits first: a split or merge could not simply be undone.
    flags = _account_flag(mm, vma, flags, pages)
    vma = vma_modify_flags(mm, vma, start, end, flags)
    # The flags decide whether pages count as data, code or stack, so count them again.
    vma_account(mm, old, -pages)
    vma_account(mm, flags, pages)
    if flags & VM_WRITE and old & (VM_WRITE | VM_SHARED | VM_LOCKED) == VM_LOCKED:
        populate_vma_page_range(mm, vma, start, end)  # locked pages must not fault later


def _account_flag(mm: MmStruct, vma: Vma, flags: int, pages: int) -> int:
    """Return the flags with VM_ACCOUNT as it has to be. Raise ENOMEM if a limit is in the way."""
    # Memory that becomes writable for the first time becomes data, and is charged.
    old = vma.vm_flags
    if flags & VM_WRITE:
        if not may_expand_vm(mm, flags, pages) and may_expand_vm(mm, old, pages):
            raise os_error(errno.ENOMEM)
        if not old & (VM_ACCOUNT | VM_WRITE | VM_HUGETLB | VM_SHARED | VM_NORESERVE):
            if not may_commit(mm, pages):
                raise os_error(errno.ENOMEM)
            return flags | VM_ACCOUNT
    elif old & VM_ACCOUNT and _is_untouched(vma) and mm.release.has(UNTOUCHED_UNACCOUNTED):
        return flags & ~VM_ACCOUNT
    return flags


def _is_untouched(vma: Vma) -> bool:
    """Return whether nothing was ever written to vma."""
    return vma_is_anonymous(vma) and vma.anon_vma is None
