"""Grow and shrink the heap at its end.

Compare mm/mmap.c:brk() and mm/vma.c:do_brk_flags().
"""

import errno

from untorn.errors import os_error
from untorn.maps.page import PAGE_SHIFT, PAGE_SIZE, page_align
from untorn.mm.calls.mmap import store_new_vma
from untorn.mm.calls.munmap import do_munmap_locked
from untorn.mm.limits import RLIM_INFINITY
from untorn.mm.mm_types import MmStruct
from untorn.mm.mman import (
    VM_ACCOUNT,
    VM_EXEC,
    VM_LOCKED,
    VM_MAYEXEC,
    VM_MAYREAD,
    VM_MAYWRITE,
    VM_READ,
    VM_WRITE,
)
from untorn.mm.mmap_lock import mmap_write_lock_killable, mmap_write_unlock
from untorn.mm.pages.gup import mm_populate
from untorn.mm.vmas.accounting import may_commit, may_expand_vm, mlock_future_ok, vma_account
from untorn.mm.vmas.merge import Attributes, vma_merge_new_range
from untorn.mm.vmas.unmapped_area import vm_start_gap

VM_DATA_DEFAULT = VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC


def do_brk(mm: MmStruct, addr: int) -> int:
    """Move the end of the heap to byte address addr. Return the new end.

    If the heap cannot end there, return the old end; brk has no errno. Shrinking unmaps everything
    between the two ends, even if it does not belong to the heap.

    Raises:
        OSError: EINTR if the task is killed while it waits for the lock.
        NotModelledError: The unmapped range ends inside a driver's mapping; see driver.py.

    Source: brk(2); mm/mmap.c:brk().
    """
    mmap_write_lock_killable(mm)
    try:
        old = mm.brk
        # If this fails, nothing was mapped or unmapped.
        try:
            _move_brk(mm, addr)
        except OSError:
            return old
        mm.brk = addr
        # mlockall(MCL_FUTURE) applies to the heap, too.
        populate = mm.def_flags & VM_LOCKED and page_align(addr) > page_align(old)
    finally:
        mmap_write_unlock(mm)
    if populate:
        mm_populate(mm, page_align(old), page_align(addr))
    return addr


def _move_brk(mm: MmStruct, addr: int) -> None:
    # Here RLIMIT_DATA bounds the heap plus the program's data. In may_expand_vm() it bounds all
    # private writable memory together.
    limit = mm.limits.rlimit_data
    data = addr - mm.start_brk + mm.data_size
    if addr < mm.start_brk or (limit != RLIM_INFINITY and data > limit):
        raise os_error(errno.ENOMEM)
    old_end, new_end = page_align(mm.brk), page_align(addr)
    # A move within one page maps and unmaps nothing; only mm.brk changes.
    if new_end < old_end:
        vma = mm.find_vma(new_end)
        if vma is None or vma.vm_start >= old_end:
            raise os_error(errno.ENOMEM)
        do_munmap_locked(mm, new_end, old_end - new_end)
    elif new_end > old_end:
        _check_room(mm, old_end, new_end)
        do_brk_flags(mm, old_end, new_end, lowest=mm.start_brk)


def _check_room(mm: MmStruct, old_end: int, new_end: int) -> None:
    # One page stays free above the heap. If a stack is next, its guard gap stays free, too.
    following = mm.find_vma(old_end)
    collides = following is not None and new_end + PAGE_SIZE > vm_start_gap(mm, following)
    if new_end > mm.task_size or collides:
        raise os_error(errno.ENOMEM)


def do_brk_flags(mm: MmStruct, start: int, end: int, flags: int = 0, *, lowest: int = 0) -> None:
    """Map [start, end) as data of the program. Only the VMA below may merge with it.

    Args:
        mm: The address space.
        start: Byte address of the first page; nothing is mapped there.
        end: Byte address after the last page.
        flags: VM_* bits in addition to those of data.
        lowest: Byte address: a VMA that ends there or below does not merge with the range. So the
            heap stays separate from the program's .bss, even if it begins where that ends.

    Raises:
        OSError: ENOMEM if a limit would be exceeded.

    Preconditions: mmap_lock held for write. Compare mm/vma.c:do_brk_flags().
    """
    flags |= VM_DATA_DEFAULT | VM_ACCOUNT | mm.def_flags | mm.read_implies_exec * VM_EXEC
    pages = end - start >> PAGE_SHIFT
    # map_count is checked even if the VMA below takes over the range. As with mmap, there may be
    # one VMA more than max_map_count.
    allowed = (
        mlock_future_ok(mm, flags, pages)
        and may_expand_vm(mm, flags, pages)
        and mm.map_count <= mm.limits.max_map_count
        and may_commit(mm, pages)
    )
    if not allowed:
        raise os_error(errno.ENOMEM)
    # Merge only with the VMA below: what is above the range does not belong to the heap.
    new = Attributes(flags, None, start >> PAGE_SHIFT, start >> PAGE_SHIFT)
    prev = mm.find_vma_prev(start)
    if prev is not None and prev.vm_end <= lowest:
        prev = None
    if vma_merge_new_range(mm, prev, None, start, end, new) is None:
        store_new_vma(mm, start, end, new)
    vma_account(mm, flags, pages)
