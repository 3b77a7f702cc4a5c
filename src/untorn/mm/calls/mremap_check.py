"""The checks that mremap does before it changes anything, in Linux's order.

Compare mm/mremap.c:check_mremap_params(), __check_map_count_against_split(), check_prep_vma().
"""

import errno
from dataclasses import dataclass

from untorn.errors import os_error
from untorn.maps.page import PAGE_SHIFT, ULONG_MAX, page_aligned
from untorn.mm.mm_types import MmStruct, Vma, vma_kernel_pagesize
from untorn.mm.mman import (
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    VM_DONTEXPAND,
    VM_HUGETLB,
    VM_LOCKED,
    VM_MAYSHARE,
    VM_PFNMAP,
)
from untorn.mm.vmas.accounting import may_expand_vm, mlock_future_ok
from untorn.mm.vmas.seal import is_sealed, refuse_sealed
from untorn.releases.changes import (
    DONTUNMAP_CUTS,
    MREMAP_ALIGNED_FIRST,
    MREMAP_CHECKS_FIRST,
    MREMAP_MAP_COUNT,
    SEALS_ONE_BY_ONE,
)

_KNOWN = MREMAP_FIXED | MREMAP_MAYMOVE | MREMAP_DONTUNMAP


@dataclass(slots=True)
class VmaRemap:
    """The arguments of a call, in byte addresses and bytes. Compare struct vma_remap_struct."""

    mm: MmStruct
    addr: int
    old_len: int
    new_len: int
    flags: int
    new_addr: int

    @property
    def names_place(self) -> bool:
        """Whether new_addr counts: as the new address, or as a hint for MREMAP_DONTUNMAP."""
        return bool(self.flags & (MREMAP_FIXED | MREMAP_DONTUNMAP))

    @property
    def keeps_source(self) -> bool:
        """Whether the old range stays mapped, without its pages."""
        return bool(self.flags & MREMAP_DONTUNMAP)

    @property
    def delta(self) -> int:
        """How many bytes the range grows by; negative if it shrinks."""
        return self.new_len - self.old_len


def check_mremap_params(remap: VmaRemap, *, resizes: bool) -> None:
    """Refuse parameters that are wrong whatever is mapped.

    Args:
        remap: The arguments of the call.
        resizes: Whether the lengths differ.

    Raises:
        OSError: EINVAL; for some releases ENOMEM near max_map_count.
    """
    needs_maymove = remap.names_place and not remap.flags & MREMAP_MAYMOVE
    resized = remap.flags & MREMAP_DONTUNMAP and resizes
    if remap.flags & ~_KNOWN or needs_maymove or resized:
        raise os_error(errno.EINVAL)
    if not page_aligned(remap.addr) or not remap.new_len or _is_known_misaligned(remap):
        raise os_error(errno.EINVAL)
    if remap.mm.release.has(MREMAP_CHECKS_FIRST):
        if remap.new_len > remap.mm.task_size:
            raise os_error(errno.EINVAL)
        check_place(remap)


def _is_known_misaligned(remap: VmaRemap) -> bool:
    """Return whether new_addr counts, is not aligned, and the release checks that first."""
    misaligned = remap.names_place and not page_aligned(remap.new_addr)
    return misaligned and remap.mm.release.has(MREMAP_ALIGNED_FIRST)


def check_place(remap: VmaRemap) -> None:
    """Refuse a new_addr that counts but that the mapping cannot move to.

    Raises:
        OSError: as check_mremap_params().
    """
    if not remap.names_place:
        return
    if not _place_is_valid(remap):
        raise os_error(errno.EINVAL)
    if not remap.mm.release.has(MREMAP_MAP_COUNT):
        _check_map_count(remap.mm, unmaps=True)


def check_map_count_early(remap: VmaRemap) -> None:
    """Refuse a call that could fail at max_map_count after it has unmapped the destination.

    Preconditions: mmap_lock held for write.

    Raises:
        OSError: ENOMEM near max_map_count.
    """
    if remap.mm.release.has(MREMAP_MAP_COUNT):
        _check_map_count(remap.mm, unmaps=True, splits=_may_split_source(remap))


def check_map_count(remap: VmaRemap, vma: Vma) -> None:
    """Refuse a move unless max_map_count allows the copy and the splits of vma.

    Raises:
        OSError: ENOMEM.
    """
    _check_map_count(remap.mm, splits=splits_source(remap, vma))


def _check_map_count(mm: MmStruct, *, unmaps: bool = False, splits: bool = False) -> None:
    # The copy adds one VMA. If only a middle part moves, the source leaves two VMAs instead of one,
    # or three if the part stays as a VMA of its own. A munmap before the move, of the destination
    # or of the tail, may cut a VMA in three. Earlier releases count four VMAs for every move.
    needed = 2 + splits if mm.release.has(MREMAP_MAP_COUNT) else 4
    if mm.map_count + 2 * unmaps + needed > mm.limits.max_map_count:
        raise os_error(errno.ENOMEM)


def splits_source(remap: VmaRemap, vma: Vma) -> bool:
    """Return whether the moving part of vma is split off first, so that only it is unlocked.

    Compare mm/mremap.c:needs_pre_split().
    """
    return _may_split_source(remap) and bool(vma.vm_flags & VM_LOCKED)


def _may_split_source(remap: VmaRemap) -> bool:
    return remap.keeps_source and remap.mm.release.has(DONTUNMAP_CUTS)


def _place_is_valid(remap: VmaRemap) -> bool:
    # As in Linux, the sum wraps like an unsigned long, so a huge length may hide an overlap.
    old_end, new_end = remap.addr + remap.old_len & ULONG_MAX, remap.new_addr + remap.new_len
    overlaps = old_end > remap.new_addr and new_end > remap.addr
    return (
        remap.new_addr <= remap.mm.task_size - remap.new_len
        and page_aligned(remap.new_addr)
        and not overlaps
    )


def check_prep_vma(remap: VmaRemap, vma: Vma | None) -> Vma:
    """Return vma, which was found at remap.addr, if it can be moved or grown as asked.

    On hugetlbfs, round the lengths up to whole huge pages. If new_addr counts and the release
    checks late, the caller of this function does check_resize() later, in _mremap_to().

    Preconditions: mmap_lock held for write.

    Raises:
        OSError: EFAULT, EPERM, EINVAL, EAGAIN or ENOMEM, as mremap(2) says.
    """
    # The checks are in Linux's order, which decides the errno.
    if vma is None:
        raise os_error(errno.EFAULT)
    if is_sealed(vma) and remap.mm.release.has(SEALS_ONE_BY_ONE):
        raise os_error(errno.EPERM)
    if vma.vm_flags & VM_HUGETLB:
        _align_hugetlb(remap, vma)
    places_late = remap.names_place and not remap.mm.release.has(MREMAP_CHECKS_FIRST)
    if places_late:
        check_place(remap)
    refuse_sealed(remap.mm, remap.addr, remap.addr + remap.old_len & ULONG_MAX)
    if not places_late and (remap.names_place or remap.delta > 0):
        check_resize(remap, vma)
    return vma


def check_resize(remap: VmaRemap, vma: Vma) -> None:
    """Refuse to move or grow a range that is not all in vma, or that may not grow.

    Raises:
        OSError: as check_prep_vma().
    """
    if remap.old_len == 0 and not vma.vm_flags & VM_MAYSHARE:
        raise os_error(errno.EINVAL)
    if remap.flags & MREMAP_DONTUNMAP and vma.vm_flags & (VM_DONTEXPAND | VM_PFNMAP):
        raise os_error(errno.EINVAL)
    if min(remap.old_len, remap.new_len) > vma.vm_end - remap.addr:
        raise os_error(errno.EFAULT)
    if remap.delta > 0:
        _check_growth(remap, vma)


def _align_hugetlb(remap: VmaRemap, vma: Vma) -> None:
    """Compare mm/mremap.c:align_hugetlb(), which checks new_addr even if it is to be ignored."""
    size = vma_kernel_pagesize(vma)
    # The old length may wrap to 0.
    remap.old_len = remap.old_len + -remap.old_len % size & ULONG_MAX
    remap.new_len += -remap.new_len % size
    if remap.addr % size or remap.new_addr % size or remap.delta > 0:
        raise os_error(errno.EINVAL)


def _check_growth(remap: VmaRemap, vma: Vma) -> None:
    mm, pages = remap.mm, remap.delta >> PAGE_SHIFT
    pgoff = vma.vm_pgoff + (remap.addr - vma.vm_start >> PAGE_SHIFT)
    if pgoff + (remap.new_len >> PAGE_SHIFT) > ULONG_MAX:
        raise os_error(errno.EINVAL)
    if vma.vm_flags & (VM_DONTEXPAND | VM_PFNMAP):
        raise os_error(errno.EFAULT)
    if not mlock_future_ok(mm, vma.vm_flags, pages):
        raise os_error(errno.EAGAIN)
    if not may_expand_vm(mm, vma.vm_flags, pages):
        raise os_error(errno.ENOMEM)
