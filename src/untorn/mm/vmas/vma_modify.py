"""Give part of a VMA other attributes: merge it with a neighbour, or split it off.

Every function needs mmap_lock held for write. Compare mm/vma.c:split_vma() and vma_modify().
"""

import errno
from dataclasses import replace

from untorn.errors import os_error
from untorn.maps.page import PAGE_SHIFT
from untorn.mm.mm_struct import MmStruct
from untorn.mm.rmap import anon_vma_clone
from untorn.mm.vma import Vma, vm_area_dup, vma_kernel_pagesize
from untorn.mm.vma_lock import vma_start_write
from untorn.mm.vmas.vma_merge import Attributes, vma_merge_existing_range
from untorn.mm.vmas.vma_store import vma_store_new


def split_vma(mm: MmStruct, vma: Vma, addr: int, *, new_below: bool) -> Vma:
    """Cut vma at addr if the limit allows one more VMA; return the new one.

    Raises:
        OSError: ENOMEM if the mm already has max_map_count VMAs; EINVAL if vma may not be cut.
    """
    if mm.map_count >= mm.limits.max_map_count:
        raise os_error(errno.ENOMEM)
    return split_vma_unlimited(mm, vma, addr, new_below=new_below)


def split_vma_unlimited(mm: MmStruct, vma: Vma, addr: int, *, new_below: bool) -> Vma:
    """Cut vma at addr and return the new VMA: the part below, or the part above.

    Order (what a reader can see): both write-locked, the old one's bounds change, the new one is
    attached, then one tree store over its half.

    Preconditions: addr page-aligned, strictly inside vma.

    Raises:
        OSError: EINVAL if vma may not be cut there; see check_may_split().
    """
    assert vma.vm_start < addr < vma.vm_end
    check_may_split(vma, addr)
    new = vm_area_dup(vma)
    anon_vma_clone(new, vma)
    vma_start_write(vma)
    vma_start_write(new)
    pages_below = addr - vma.vm_start >> PAGE_SHIFT
    if new_below:
        new.vm_end = vma.vm_start = addr
        vma.vm_pgoff += pages_below
    else:
        new.vm_start = vma.vm_end = addr
        new.vm_pgoff += pages_below
    vma_store_new(mm, new)
    return new


def check_may_split(vma: Vma, addr: int) -> None:
    """Refuse to cut vma at addr if it is the kernel's own, or amid a page of hugetlbfs.

    Raises:
        OSError: EINVAL.

    Compare include/linux/mm.h:vm_operations_struct.may_split.
    """
    special = vma.vm_ops is not None and not vma.vm_ops.may_split
    if special or addr % vma_kernel_pagesize(vma):
        raise os_error(errno.EINVAL)


def vma_modify_flags(mm: MmStruct, vma: Vma, start: int, end: int, flags: int) -> Vma:
    """Give [start, end) of vma these VM_* flags; see vma_modify()."""
    return vma_modify(mm, vma, start, end, replace(Attributes.of(vma, start), flags=flags))


def vma_modify_name(mm: MmStruct, vma: Vma, start: int, end: int, name: bytes | None) -> Vma:
    """Give [start, end) of vma this name; see vma_modify()."""
    return vma_modify(mm, vma, start, end, replace(Attributes.of(vma, start), anon_name=name))


def vma_modify(mm: MmStruct, vma: Vma, start: int, end: int, new: Attributes) -> Vma:
    """Make [start, end) of vma a VMA of its own, or part of a neighbour, with new attributes.

    Returns:
        The VMA that covers the range now, write-locked, with flags and name set.

    Raises:
        OSError: ENOMEM if a split is needed at max_map_count; a first split may have been done.
            EINVAL if a split is needed and vma may not be cut.
    """
    merged = vma_merge_existing_range(mm, vma, start, end, new)
    if merged is not None:
        return merged
    if vma.vm_start < start:
        split_vma(mm, vma, start, new_below=True)
    if end < vma.vm_end:
        split_vma(mm, vma, end, new_below=False)
    vma_start_write(vma)
    vma.vm_flags, vma.anon_name = new.flags, new.anon_name
    return vma
