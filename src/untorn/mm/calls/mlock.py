"""Lock a range or everything in memory. Compare mm/mlock.c."""

import errno

from untorn.errors import os_error
from untorn.maps.page import PAGE_SHIFT, PAGE_SIZE, ULONG_MAX, page_align
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mman import (
    MCL_CURRENT,
    MCL_FUTURE,
    MCL_ONFAULT,
    MLOCK_ONFAULT,
    VM_DROPPABLE,
    VM_LOCKED,
    VM_LOCKED_MASK,
    VM_LOCKONFAULT,
    VM_SPECIAL,
)
from untorn.mm.mmap_lock import mmap_write_lock_killable, mmap_write_unlock
from untorn.mm.pages.gup import mm_populate
from untorn.mm.vmas.accounting import can_do_mlock, pages_mapped
from untorn.mm.vmas.driver import refuse_drivers
from untorn.mm.vmas.modify import vma_modify_flags


def do_mlock(mm: MmStruct, start: int, length: int, flags: int = 0) -> None:
    """Lock [start, start + length) in memory.

    Args:
        mm: The address space; its mmap_lock is taken for write.
        start: Byte address, rounded down to a page.
        length: Bytes; the end of the range is rounded up to a page.
        flags: 0 or MLOCK_ONFAULT.

    Raises:
        OSError: EINVAL for an unknown flag or a range that wraps; EPERM if the process may not lock
            memory at all; ENOMEM if RLIMIT_MEMLOCK would be exceeded, for a hole (the pages before
            it stay locked), if a split would exceed max_map_count, or if a page cannot be faulted
            in; EINTR if the task is killed while it waits for the lock.
        NotModelledError: The range reaches a driver's mapping; see driver.py.

    Source: mlock(2); mm/mlock.c:do_mlock().
    """
    if flags & ~MLOCK_ONFAULT:
        raise os_error(errno.EINVAL)
    # As in Linux, this comes before any check of the range: a process that may not lock memory gets
    # EPERM even for an empty range.
    if not can_do_mlock(mm):
        raise os_error(errno.EPERM)
    vm_flags = VM_LOCKED | (VM_LOCKONFAULT if flags else 0)
    start, length = _whole_pages(start, length)
    mmap_write_lock_killable(mm)
    try:
        if not _within_limit(mm, start, length):
            raise os_error(errno.ENOMEM)
        _apply_vma_lock_flags(mm, start, length, vm_flags)
    finally:
        mmap_write_unlock(mm)
    # The flags are set; now fault in the pages. A page that a task accesses meanwhile is faulted in
    # and stays.
    if not mm_populate(mm, start, start + length):
        raise os_error(errno.ENOMEM)


def do_munlock(mm: MmStruct, start: int, length: int) -> None:
    """Unlock [start, start + length); see do_mlock() for arguments and errors."""
    start, length = _whole_pages(start, length)
    mmap_write_lock_killable(mm)
    try:
        _apply_vma_lock_flags(mm, start, length, 0)
    finally:
        mmap_write_unlock(mm)


def do_mlockall(mm: MmStruct, flags: int) -> None:
    """Lock all current mappings (MCL_CURRENT), and all future ones (MCL_FUTURE).

    Raises:
        OSError: EINVAL for unknown flags, no flags, or MCL_ONFAULT alone; EPERM if the process may
            not lock memory at all; ENOMEM if RLIMIT_MEMLOCK would be exceeded; EINTR if the task is
            killed while it waits for the lock.
        NotModelledError: MCL_CURRENT is set, and there is a driver's mapping; see driver.py.

    Source: mlockall(2); mm/mlock.c.
    """
    if not flags or flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) or flags == MCL_ONFAULT:
        raise os_error(errno.EINVAL)
    if not can_do_mlock(mm):
        raise os_error(errno.EPERM)
    limits = mm.limits
    mmap_write_lock_killable(mm)
    try:
        fits = mm.total_vm <= limits.rlimit_memlock >> PAGE_SHIFT or limits.cap_ipc_lock
        if flags & MCL_CURRENT and not fits:
            raise os_error(errno.ENOMEM)
        if flags & MCL_CURRENT:
            refuse_drivers(mm, 0, mm.task_size, "mlockall", past_holes=True)
        _apply_mlockall_flags(mm, flags)
    finally:
        mmap_write_unlock(mm)
    # Try all pages. The call succeeds even if some cannot be faulted in.
    if flags & MCL_CURRENT:
        mm_populate(mm, 0, mm.task_size, past_errors=True)


def do_munlockall(mm: MmStruct) -> None:
    """Unlock all current mappings, and do not lock future ones.

    Raises:
        OSError: EINTR if the task is killed while it waits for the lock.
    """
    mmap_write_lock_killable(mm)
    try:
        _apply_mlockall_flags(mm, 0)
    finally:
        mmap_write_unlock(mm)


def _whole_pages(start: int, length: int) -> tuple[int, int]:
    offset = start % PAGE_SIZE
    return start - offset, page_align(length + offset)


def _within_limit(mm: MmStruct, start: int, length: int) -> bool:
    """Return whether RLIMIT_MEMLOCK allows the call. Do not count locked pages twice."""
    if mm.limits.cap_ipc_lock:
        return True
    limit = mm.limits.rlimit_memlock >> PAGE_SHIFT
    # Nearly always this is enough, without a walk over the VMAs.
    wanted = mm.locked_vm + (length >> PAGE_SHIFT)
    return wanted <= limit or wanted - pages_mapped(mm, start, start + length, VM_LOCKED) <= limit


def _apply_vma_lock_flags(mm: MmStruct, start: int, length: int, vm_flags: int) -> None:
    """Compare mm/mlock.c:apply_vma_lock_flags().

    A driver's mapping is never locked, so unlocking needs no check for one.
    """
    end = start + length
    if end > ULONG_MAX:
        raise os_error(errno.EINVAL)
    if vm_flags:
        refuse_drivers(mm, start, end, "mlock", past_holes=False)
    while start < end:
        vma = mm.find_vma(start)
        # Pages before a hole stay locked.
        if vma is None or vma.vm_start > start:
            raise os_error(errno.ENOMEM)
        # Load its end first: the VMA may merge with the one before.
        piece_end = min(vma.vm_end, end)
        _mlock_fixup(mm, vma, start, piece_end, vm_flags)
        start = piece_end


def _apply_mlockall_flags(mm: MmStruct, flags: int) -> None:
    """Compare mm/mlock.c:apply_mlockall_flags(); a split is never needed."""
    on_fault = VM_LOCKONFAULT if flags & MCL_ONFAULT else 0
    # A call without MCL_FUTURE cancels an earlier MCL_FUTURE.
    mm.def_flags &= ~VM_LOCKED_MASK
    if flags & MCL_FUTURE:
        mm.def_flags |= VM_LOCKED | on_fault
        if not flags & MCL_CURRENT:
            return
    vm_flags = VM_LOCKED | on_fault if flags & MCL_CURRENT else 0
    vma = mm.find_vma(0)
    while vma is not None:
        # As above: the VMA may merge, and its end may change.
        end = vma.vm_end
        _mlock_fixup(mm, vma, vma.vm_start, end, vm_flags)
        vma = mm.find_vma(end)


def _mlock_fixup(mm: MmStruct, vma: Vma, start: int, end: int, vm_flags: int) -> None:
    """Give [start, end) of vma its lock flags. Compare mm/mlock.c:mlock_fixup()."""
    old = vma.vm_flags
    new = old & ~VM_LOCKED_MASK | vm_flags
    # Special mappings are always resident, and droppable memory must not be locked.
    if new == old or old & (VM_SPECIAL | VM_DROPPABLE):
        return
    vma_modify_flags(mm, vma, start, end, new)
    # Count only now: vma_modify_flags() fails if a split would exceed max_map_count.
    mm.locked_vm += (bool(new & VM_LOCKED) - bool(old & VM_LOCKED)) * (end - start >> PAGE_SHIFT)
