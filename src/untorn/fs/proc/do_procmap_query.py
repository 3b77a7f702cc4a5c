"""The PROCMAP_QUERY ioctl: find one VMA and describe it under its own lock.

Each call has its own locking context: the ioctl is serialised neither with reads of the same file
nor with itself. Compare fs/proc/task_mmu.c:do_procmap_query(), query_matching_vma().
"""

import errno

from untorn.errors import os_error
from untorn.fs.proc.maps_locking import MapsLocking
from untorn.fs.proc.procmap_struct import get_query, put_answer
from untorn.fs.proc.show_map import permission_bits, vma_name
from untorn.fs.user_memory import UserMemory
from untorn.maps.fields import NO_DEVICE
from untorn.maps.page import PAGE_SHIFT
from untorn.maps.procmap_query import PERMISSION_BITS, ProcmapQuery, QueryFlags
from untorn.mm.calls.exit import mmput
from untorn.mm.file import VmFile
from untorn.mm.mm_types import MmStruct, Vma, mmget_not_zero, vma_kernel_pagesize
from untorn.mm.vmas.driver import driver_refusal


def do_procmap_query(
    mm: MmStruct | None, locking: MapsLocking | None, memory: UserMemory, arg: int
) -> None:
    """Answer the struct procmap_query at arg. On failure none of its output fields is written.

    Args:
        mm: The address space, or None for a kernel thread.
        locking: A locking context that only this call uses; None if mm is None.
        memory: The caller's memory.
        arg: Byte address of the struct.

    Raises:
        OSError: EFAULT, E2BIG or EINVAL for an invalid struct; ESRCH if mm has no users left;
            ENOENT if no VMA matches; ENAMETOOLONG if a buffer is too small; EINTR if the task is
            killed while it waits for mmap_lock.
        NotModelledError: Only the driver of the VMA knows the size of its pages.
    """
    query = get_query(memory, arg)
    # Pairs with the last mmput(), as in task_mmu.py. An open file alone keeps no VMAs alive.
    if mm is None or locking is None or not mmget_not_zero(mm):
        raise os_error(errno.ESRCH)
    try:
        answer, name, file = _describe(locking, query)
    finally:
        mmput(mm)
    # No lock is held from here on: in Linux a build id may have to be read from the file, and the
    # caller's memory may fault, which can need the mmap_lock of this very mm.
    put_answer(memory, arg, answer, name, file.build_id if file else b"")


def _describe(
    locking: MapsLocking, query: ProcmapQuery
) -> tuple[ProcmapQuery, bytes, VmFile | None]:
    """Return the struct without the sizes of name and build id, the name, and the file."""
    locking.lock_vma_range()
    try:
        vma = _query_matching_vma(locking, query)
        name = vma_name(vma) if query.vma_name_size else b""
        return _answer(vma, query), name, vma.vm_file
    finally:
        locking.unlock_vma_range()


def _query_matching_vma(locking: MapsLocking, query: ProcmapQuery) -> Vma:
    """Return the first VMA that matches. Each lookup starts a new walk at the wanted address."""
    addr = query.query_addr
    next_wanted = query.query_flags & QueryFlags.COVERING_OR_NEXT_VMA
    while True:
        # The iterator is set anew, so no lookup goes on from an end that a VMA had in an older
        # version of the tree. That is why walks by query have no false gaps. Each answer is a VMA
        # of some state since the call began; VMAs that did not match may be of earlier states.
        locking.vma_iter_set(addr)
        vma = locking.get_next_vma(addr)
        if vma is None:
            raise os_error(errno.ENOENT)
        if _fits(vma, query.query_flags):
            if next_wanted or vma.vm_start <= query.query_addr:
                return vma
            raise os_error(errno.ENOENT)
        if not next_wanted:
            raise os_error(errno.ENOENT)
        addr = vma.vm_end


def _fits(vma: Vma, query_flags: int) -> bool:
    if query_flags & QueryFlags.FILE_BACKED_VMA and vma.vm_file is None:
        return False
    wanted = query_flags & PERMISSION_BITS
    return permission_bits(vma) & wanted == wanted


def _answer(vma: Vma, query: ProcmapQuery) -> ProcmapQuery:
    file = vma.vm_file
    device = file.device if file else NO_DEVICE
    return query._replace(
        vma_start=vma.vm_start,
        vma_end=vma.vm_end,
        vma_flags=permission_bits(vma),
        vma_page_size=_page_size(vma),
        vma_offset=vma.vm_pgoff << PAGE_SHIFT if file else 0,
        dev_major=device.major,
        dev_minor=device.minor,
        inode=file.inode if file else 0,
    )


def _page_size(vma: Vma) -> int:
    if vma.vm_ops is not None and vma.vm_ops.has_pagesize:
        raise driver_refusal(vma, "PROCMAP_QUERY")
    return vma_kernel_pagesize(vma)
