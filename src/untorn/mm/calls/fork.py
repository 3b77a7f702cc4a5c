"""Copy the parent's address space for a child, VMA by VMA.

Compare kernel/fork.c:dup_mm() and mm/mmap.c:dup_mmap().
"""

import errno

from untorn.errors import os_error
from untorn.locking import sync
from untorn.mm.calls.exit import mmput
from untorn.mm.mm_types import MmStruct, Vma, vma_pages
from untorn.mm.mman import VM_ACCOUNT, VM_DONTCOPY, VM_LOCKED_MASK, VM_NOHUGEPAGE, VM_WIPEONFORK
from untorn.mm.mmap_lock import (
    mmap_write_lock_killable,
    mmap_write_lock_nested,
    mmap_write_unlock,
)
from untorn.mm.pages.pte_range import copy_page_range
from untorn.mm.vma_lock import vma_start_write
from untorn.mm.vmas.accounting import may_commit, vma_account
from untorn.mm.vmas.driver import refuse_drivers
from untorn.mm.vmas.rmap import anon_vma_fork
from untorn.mm.vmas.vm_area import vma_open, vma_store_new
from untorn.releases.changes import FORK_WAITS_KILLABLE


def dup_mm(mm: MmStruct, name: str) -> MmStruct:
    """Return a copy of mm for a child process, with one user.

    The child does not inherit memory locks. VMAs with VM_DONTCOPY are left out, and those with
    VM_WIPEONFORK are copied without their pages.

    Raises:
        OSError: ENOMEM if the pages of a single VMA may not be committed; EINTR if the task is
            killed while it waits for the lock, or for readers of a VMA.
        NotModelledError: There is a driver's mapping, which may be one that is not copied; see
            driver.py.

    Context: takes mmap_lock of mm for write, and waits for the readers of each VMA in turn. Under
        it, takes the child's mmap_lock: no other task knows the child yet.
    """
    child = MmStruct(
        name,
        limits=mm.limits,
        mmap_base=mm.mmap_base,
        mmap_legacy_base=mm.mmap_legacy_base,
        topdown=mm.topdown,
        task_size=mm.task_size,
        gate_vma=mm.gate_vma,
        gate_vma_flags=mm.gate_vma_flags,
        slab=mm.vm_area_cachep,
        huge_pools=mm.huge_pools,
        vm_committed=mm.vm_committed,
        release=mm.release,
    )
    try:
        _dup_mmap(mm, child)
    except BaseException:
        # Tear down the partial copy like any other address space.
        mmput(child)
        raise
    return child


def _dup_mmap(mm: MmStruct, child: MmStruct) -> None:
    mmap_write_lock_killable(mm)
    mmap_write_lock_nested(child)
    try:
        refuse_drivers(mm, 0, mm.task_size, "fork", past_holes=True)
        child.start_brk, child.brk, child.start_stack = mm.start_brk, mm.brk, mm.start_stack
        child.data_size = mm.data_size
        child.read_implies_exec = mm.read_implies_exec
        child.def_flags = mm.def_flags & VM_NOHUGEPAGE
        # The loop walks one version of the tree. It stays the newest while mmap_lock is held.
        for _, _, vma in mm.mm_mt:
            # This waits for readers of this one VMA. Faults that need only its lock also wait until
            # the section ends: pages must not be mapped or copied while they are counted.
            _lock_for_copy(vma)
            if not vma.vm_flags & VM_DONTCOPY:
                _dup_vma(child, vma)
            if not vma.vm_flags & (VM_DONTCOPY | VM_WIPEONFORK):
                copy_page_range(child, vma)
    finally:
        # The child's VMAs become readable first, then the parent's. Both are complete by now.
        mmap_write_unlock(child)
        mmap_write_unlock(mm)


def _lock_for_copy(vma: Vma) -> None:
    """Write-lock vma unless the task is killed.

    Raises:
        OSError: EINTR if it is killed.
    """
    # Earlier releases always wait for all readers, and check for a kill only after that.
    if vma.vm_mm.release.has(FORK_WAITS_KILLABLE):
        vma_start_write(vma, killable=True)
        return
    vma_start_write(vma)
    if sync.current().killed and not vma.vm_flags & VM_DONTCOPY:
        raise os_error(errno.EINTR)


def _dup_vma(child: MmStruct, vma: Vma) -> None:
    if vma.vm_flags & VM_ACCOUNT and not may_commit(vma.vm_mm, vma_pages(vma)):
        raise os_error(errno.ENOMEM)
    # vm_area_dup() would make a copy in the same mm.
    new = child.vm_area_cachep.alloc(child)
    new.copy_from(vma)
    new.resv_map = None  # the reservations stay with the parent
    vma_open(new)
    if vma.vm_flags & VM_WIPEONFORK:
        new.anon_vma, new.anon_vma_chain = None, ()
    else:
        anon_vma_fork(new, vma)
    # The child does not inherit memory locks; see fork(2). Its VMA can be written without a lock,
    # because it is in no tree yet.
    new.vm_flags &= ~VM_LOCKED_MASK
    vma_start_write(new)
    vma_store_new(child, new)
    vma_account(child, new.vm_flags, vma_pages(new))
