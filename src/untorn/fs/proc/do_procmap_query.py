"""The PROCMAP_QUERY ioctl: one VMA, found and described under its own lock.

Each call has a locking context of its own: the ioctl is not serialised with reads of the same
file nor with itself. Compare fs/proc/task_mmu.c:do_procmap_query(), query_matching_vma().
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
    """Answer the struct procmap_query at arg; on failure none of its output fields is written.

    Args:
        mm: The address space, or None for a kernel thread.
        locking: One of this call's own; None as mm.
        memory: The caller's memory.
        arg: Byte address of the struct.

    Raises:
        OSError: EFAULT, E2BIG or EINVAL for what is asked; ESRCH if mm has no users left;
            ENOENT if nothing matches; ENAMETOOLONG if a buffer is too small; EINTR if the task
            is killed while it waits for mmap_lock.
        NotModelledError: Only the driver of what is found knows the size of its pages.
    """
    query = get_query(memory, arg)
    # Pairs with the last mmput(), as in task_mmu.py. A file that stays open pins no VMAs.
    if mm is None or locking is None or not mmget_not_zero(mm):
        raise os_error(errno.ESRCH)
    try:
        answer, name, file = _describe(locking, query)
    finally:
        mmput(mm)
    # No lock is held from here on: a build id may have to be read from the file, and the caller's
    # memory may fault, which can ask for the mmap_lock of this very mm.
    put_answer(memory, arg, answer, name, file.build_id if file else b"")


def _describe(
    locking: MapsLocking, query: ProcmapQuery
) -> tuple[ProcmapQuery, bytes, VmFile | None]:
    """Return the struct without sizes of name and build id, the name, and the file."""
    locking.lock_vma_range()
    try:
        vma = _query_matching_vma(locking, query)
        name = vma_name(vma) if query.vma_name_size else b""
        return _answer(vma, query), name, vma.vm_file
    finally:
        locking.unlock_vma_range()


def _query_matching_vma(locking: MapsLocking, query: ProcmapQuery) -> Vma:
    """Return the first VMA that fits. Each look starts a fresh walk at the address wanted."""
    addr = query.query_addr
    next_wanted = query.query_flags & QueryFlags.COVERING_OR_NEXT_VMA
    while True:
        # Seated anew, so no look goes on from an end that a VMA had in an older tree: walks by
        # query know no false gap. Each answer is a VMA of some state since the call began; those
        # that did not fit may be of earlier ones.
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
