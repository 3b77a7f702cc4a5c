"""Page faults: check the access, and prepare the VMA and its pages for it.

A fault first tries the VMA's own lock, and takes mmap_lock only if that is not enough.
Compare mm/memory.c:handle_mm_fault(), vmf_anon_prepare(); arch/x86/mm/fault.c:access_error().
"""

import errno

from untorn.errors import os_error
from untorn.maps.page import PAGE_SHIFT, PAGE_SIZE
from untorn.mm.mm_types import MmStruct, Vma, vma_is_anonymous
from untorn.mm.mman import (
    VM_ACCESS_FLAGS,
    VM_EXEC,
    VM_HUGETLB,
    VM_SHARED,
    VM_WRITE,
)
from untorn.mm.mmap_lock import (
    mmap_read_lock_killable,
    mmap_read_trylock,
    mmap_read_unlock,
    mmap_write_downgrade,
    mmap_write_lock_killable,
    mmap_write_unlock,
)
from untorn.mm.pages.hugetlb_fault import hugetlb_fault, makes_anon_pages
from untorn.mm.pages.pte_fault import fault_around, fault_in
from untorn.mm.pages.stack import expand_stack
from untorn.mm.vma_lock import vma_end_read
from untorn.mm.vma_lookup import lock_vma_under_rcu
from untorn.mm.vmas.driver import refuse_driver
from untorn.mm.vmas.rmap import vma_anon_prepare
from untorn.releases.changes import FAULTS_PER_VMA


def handle_mm_fault(mm: MmStruct, addr: int, needed: int) -> None:
    """Handle an access to the page at byte address addr.

    Args:
        mm: The address space; the task holds neither its mmap_lock nor a VMA lock.
        addr: Byte address.
        needed: VM_READ, VM_WRITE or VM_EXEC.

    Raises:
        OSError: EFAULT where the kernel sends SIGSEGV; EINTR if the task is killed while it
            waits for mmap_lock.
        NotModelledError: The page is in a driver's mapping; see driver.py.
    """
    # First try without mmap_lock, so that a writer elsewhere in the address space delays no fault.
    vma = lock_vma_under_rcu(mm, addr) if mm.release.has(FAULTS_PER_VMA) else None
    if vma is not None:
        try:
            # vma is locked and holds addr, so an access that it forbids can be refused right here.
            if _fault(mm, vma, addr, needed, under_vma_lock=True):
                return
        finally:
            vma_end_read(vma)
    # The VMA lock had to be dropped before waiting for mmap_lock; see the lock order in
    # mm/__init__.py. Anything may be mapped here by now, so look up the VMA again.
    vma = _lock_mm_and_find_vma(mm, addr)
    try:
        _fault(mm, vma, addr, needed, under_vma_lock=False)
    finally:
        mmap_read_unlock(mm)


def _lock_mm_and_find_vma(mm: MmStruct, addr: int) -> Vma:
    """Return the VMA that holds addr, after growing a stack down to it if needed.

    mmap_lock is held for read afterwards, except after an exception.
    """
    mmap_read_lock_killable(mm)
    vma = mm.find_vma(addr)
    if vma is not None and vma.vm_start <= addr:
        return vma
    # A read lock cannot be upgraded to a write lock: two tasks that tried would wait for each
    # other. While no lock is held, another task may grow the stack or map something here, so
    # expand_stack() looks up the VMA again.
    mmap_read_unlock(mm)
    mmap_write_lock_killable(mm)
    try:
        vma = expand_stack(mm, addr)
    except OSError:
        mmap_write_unlock(mm)
        raise os_error(errno.EFAULT) from None
    # For the access itself a read lock is enough. No writer can come in between, so vma stays.
    mmap_write_downgrade(mm)
    return vma


def _fault(mm: MmStruct, vma: Vma, addr: int, needed: int, *, under_vma_lock: bool) -> bool:
    """Check the access and carry it out. Return False if that needs mmap_lock.

    Preconditions: vma read-locked, or mmap_lock held for read.
    """
    if access_error(vma, needed):
        raise os_error(errno.EFAULT)
    if vma.vm_ops is not None:
        refuse_driver(vma, "page fault")
    page, write = addr & -PAGE_SIZE, bool(needed & VM_WRITE)
    if _wants_anon_vma(vma, page, page + PAGE_SIZE, needed):
        # The neighbours must be stable while their anon_vma is looked at. A task with a VMA lock
        # may try mmap_lock but not wait for it: its holder may be waiting for us.
        if under_vma_lock and not mmap_read_trylock(mm):
            return False
        anon_vma_of(mm, vma, page, page + PAGE_SIZE, needed)
        if under_vma_lock:
            mmap_read_unlock(mm)
    if vma.vm_flags & VM_HUGETLB:
        if not hugetlb_fault(vma, page, page + PAGE_SIZE, write=write):
            raise os_error(errno.EFAULT)
        return True
    if beyond_file(vma, addr):
        if not write:
            fault_around(vma, page)
        raise os_error(errno.EFAULT)
    if not fault_in(vma, page, page + PAGE_SIZE, write=write):
        raise os_error(errno.EFAULT)
    return True


def access_error(vma: Vma, needed: int) -> bool:
    """Return whether vma forbids the access. On x86 a VMA with any permission may be read."""
    if needed & (VM_WRITE | VM_EXEC):
        return not vma.vm_flags & needed
    return not vma.vm_flags & VM_ACCESS_FLAGS


def beyond_file(vma: Vma, addr: int) -> bool:
    """Return whether the page at byte address addr is beyond the end of vma's file: SIGBUS."""
    # A private mapping of /dev/zero has a file but is anonymous: it has pages at any offset.
    if vma.vm_file is None or vma_is_anonymous(vma):
        return False
    page = vma.vm_pgoff + (addr - vma.vm_start >> PAGE_SHIFT)
    return page << PAGE_SHIFT >= vma.vm_file.size


def _wants_anon_vma(vma: Vma, start: int, end: int, needed: int) -> bool:
    """Return whether an access to [start, end) makes the first anonymous pages of vma.

    A write to private memory does. A read maps the zero page or the file's page, but there is no
    huge zero page on hugetlbfs.
    """
    if vma.vm_flags & VM_SHARED or vma.anon_vma is not None:
        return False
    if needed & VM_WRITE:
        return True
    return bool(vma.vm_flags & VM_HUGETLB) and makes_anon_pages(vma, start, end)


def anon_vma_of(mm: MmStruct, vma: Vma, start: int, end: int, needed: int) -> None:
    """Give vma an anon_vma if access to [start, end) needs one. Preconditions: mmap_lock held."""
    if _wants_anon_vma(vma, start, end, needed):
        prepare_anon_vma(mm, vma)


def prepare_anon_vma(mm: MmStruct, vma: Vma) -> None:
    """Give vma an anon_vma if it has none. Preconditions: mmap_lock held, unless it has one."""
    # Test without the lock first, because nearly every fault finds an anon_vma. Under the lock,
    # anon_vma_prepare() tests again.
    if vma.anon_vma is None:
        with mm.page_table_lock:
            vma_anon_prepare(mm, vma)
