"""Give the VMAs of a range a memory policy. This splits and merges them, as flags do.

Compare mm/mempolicy.c:do_mbind(), queue_pages_range(), mbind_range(), and the system call
set_mempolicy_home_node.
"""

import errno
from dataclasses import replace

from untorn.errors import NotModelledError, os_error
from untorn.maps.page import ULONG_MAX, page_align, page_aligned
from untorn.mm.filemap import AddressSpace, PageKind
from untorn.mm.mempolicy import (
    MPOL_BIND,
    MPOL_DEFAULT,
    MPOL_MF_MOVE,
    MPOL_MF_MOVE_ALL,
    MPOL_MF_STRICT,
    MPOL_PREFERRED_MANY,
    Mempolicy,
    new_mempolicy,
    split_mode,
)
from untorn.mm.mm_types import MmStruct, Vma, vma_is_anonymous, vma_pages
from untorn.mm.mmap_lock import mmap_write_lock, mmap_write_unlock
from untorn.mm.page_table import ANON, PAGE
from untorn.mm.vmas.driver import refuse_cut
from untorn.mm.vmas.modify import vma_modify_policy

_MOVES = MPOL_MF_MOVE | MPOL_MF_MOVE_ALL


def do_mbind(mm: MmStruct, start: int, length: int, mode: int, nodemask: int, flags: int) -> None:
    """Give [start, start + length) a policy. A file in memory keeps it for the part mapped there.

    Args:
        mm: The address space; its mmap_lock is taken for write.
        start: Byte address, a multiple of the page size.
        length: Bytes, rounded up to whole pages; 0 does nothing.
        mode: An MPOL_* mode with MPOL_F_* bits.
        nodemask: Bits of nodes.
        flags: MPOL_MF_* bits.

    Raises:
        OSError: ENOSYS if the kernel is built without CONFIG_NUMA; EINVAL for the mode, its nodes,
            flags, an unaligned start or a range that wraps; EPERM for MPOL_MF_MOVE_ALL without
            CAP_SYS_NICE; EFAULT if the range has a hole (with MPOL_DEFAULT, only if it is nothing
            but a hole); EIO if MPOL_MF_STRICT finds a page on another node; ENOMEM or EINVAL if a
            split is not possible, after the VMAs before were done.
        NotModelledError: The result depends on the nodes of the pages, because there are several
            nodes, or on whether pages can be moved; or the range ends inside a driver's mapping.

    Source: mbind(2); mm/mempolicy.c:do_mbind().
    """
    check_numa(mm)
    mode, mode_flags = split_mode(mm.release, mode)
    if flags & ~(MPOL_MF_STRICT | _MOVES):
        raise os_error(errno.EINVAL)
    if flags & MPOL_MF_MOVE_ALL and not mm.limits.cap_sys_nice:
        raise os_error(errno.EPERM)
    end = _checked_end(start, length)
    if end == start:
        return
    policy = new_mempolicy(mode, mode_flags, nodemask, mm.limits.mems_allowed)
    if mode == MPOL_DEFAULT:
        flags &= ~MPOL_MF_STRICT
    mmap_write_lock(mm)
    try:
        _check_range(mm, start, end, nodemask, flags, holes=policy is None)
        refuse_cut(mm, start, end, "mbind")
        vma = mm.find_vma(start)
        while vma is not None and vma.vm_start < end:
            vma = mm.find_vma(_mbind_range(mm, vma, start, end, policy).vm_end)
    finally:
        mmap_write_unlock(mm)


def do_set_mempolicy_home_node(
    mm: MmStruct, start: int, length: int, home_node: int, flags: int
) -> None:
    """Set the node that is tried first in [start, start + length) if a policy names several.

    Raises:
        OSError: ENOSYS as do_mbind(); EINVAL for flags other than 0, a missing node, an unaligned
            start or a range that wraps; ENOENT if no VMA has a policy; EOPNOTSUPP for a policy
            other than MPOL_BIND and MPOL_PREFERRED_MANY, after the VMAs before were done.
        NotModelledError: The range ends inside a driver's mapping.

    Source: set_mempolicy_home_node(2).
    """
    check_numa(mm)
    nodes = mm.limits.mems_allowed
    if flags or not page_aligned(start) or home_node not in range(nodes.bit_length()):
        raise os_error(errno.EINVAL)
    if not nodes >> home_node & 1:
        raise os_error(errno.EINVAL)
    end = _checked_end(start, length)
    if end == start:
        return
    mmap_write_lock(mm)
    try:
        refuse_cut(mm, start, end, "set_mempolicy_home_node")
        if not _set_home_node(mm, start, end, home_node):
            raise os_error(errno.ENOENT)
    finally:
        mmap_write_unlock(mm)


def check_numa(mm: MmStruct) -> None:
    """Refuse calls that a kernel without CONFIG_NUMA does not have: raise OSError ENOSYS."""
    if not mm.limits.mems_allowed:
        raise os_error(errno.ENOSYS)


def shared_policy(vma: Vma) -> AddressSpace | None:
    """Return the page cache that keeps the policies for vma; None if vma has its own policy.

    Preconditions: vma stable. Compare mm/shmem.c:shmem_set_policy().
    """
    if vma.vm_file is None or vma_is_anonymous(vma):
        return None
    return vma.vm_file.mapping if vma.vm_file.mapping.kind is PageKind.SHMEM else None


def _checked_end(start: int, length: int) -> int:
    end = start + page_align(length)
    if not page_aligned(start) or end > ULONG_MAX:
        raise os_error(errno.EINVAL)
    return end


def _check_range(
    mm: MmStruct, start: int, end: int, nodemask: int, flags: int, *, holes: bool
) -> None:
    """Refuse holes and, with MPOL_MF_STRICT, pages on other nodes, whichever comes first.

    Preconditions: mmap_lock held for write.
    """
    vma, at = mm.find_vma(start), start
    if vma is None or vma.vm_start >= end:
        raise os_error(errno.EFAULT)
    while at < end and vma is not None:
        following = mm.find_vma(vma.vm_end)
        begins = max(vma.vm_start, start)
        hole_after = vma.vm_end < end and (following is None or following.vm_start > vma.vm_end)
        if not holes and (begins > at or hole_after):
            raise os_error(errno.EFAULT)
        at = vma.vm_end
        if flags & MPOL_MF_STRICT and _has_pages(mm, begins, min(at, end)):
            _check_placed(mm, nodemask, flags)
        vma = following


def _has_pages(mm: MmStruct, start: int, end: int) -> bool:
    """Return whether any page of [start, end) is resident. The zero page does not count."""
    for table, first, last, _ in mm.page_table.parts(start, end):
        with mm.page_table.lock:
            if any(pte & (ANON | PAGE) for pte in table.ptes[first:last]):
                return True
    return False


def _check_placed(mm: MmStruct, nodemask: int, flags: int) -> None:
    """Refuse a page that is on none of the nodes."""
    allowed = mm.limits.mems_allowed
    if not allowed & ~nodemask:
        return
    if allowed & (allowed - 1) or flags & _MOVES:
        raise NotModelledError("mbind: the nodes that pages are on, and moving them, are unknown")
    raise os_error(errno.EIO)


def _mbind_range(mm: MmStruct, vma: Vma, start: int, end: int, policy: Mempolicy | None) -> Vma:
    """Give the part of vma in [start, end) the policy. Return the VMA that then covers it."""
    if vma.vm_policy == policy:
        return vma
    start, end = max(start, vma.vm_start), min(end, vma.vm_end)
    vma = vma_modify_policy(mm, vma, start, end, policy)
    # The inode also keeps the policy, for all mappings of it, even if vma is private. It keeps it
    # for all that vma maps now, which may be more than the call asked for.
    if (inode := shared_policy(vma)) is not None:
        inode.set_policy(vma.vm_pgoff, vma.vm_pgoff + vma_pages(vma), policy)
    return vma


def _set_home_node(mm: MmStruct, start: int, end: int, home_node: int) -> bool:
    """Set the home node in each policy of [start, end). Return whether any VMA had a policy."""
    found = False
    vma = mm.find_vma(start)
    while vma is not None and vma.vm_start < end:
        policy = vma.vm_policy
        if policy is not None:
            if policy.mode not in (MPOL_BIND, MPOL_PREFERRED_MANY):
                raise os_error(errno.EOPNOTSUPP)
            vma = _mbind_range(mm, vma, start, end, replace(policy, home_node=home_node))
            found = True
        vma = mm.find_vma(vma.vm_end)
    return found
