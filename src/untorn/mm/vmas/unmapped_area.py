"""Choose the address of a new mapping that has no fixed address.

Compare mm/mmap.c:__get_unmapped_area(), mm/vma.c:unmapped_area_topdown(), and
arch/x86/kernel/sys_x86_64.c:arch_get_unmapped_area_topdown().
"""

import errno

from untorn.errors import os_error
from untorn.maps.page import PAGE_SHIFT, PAGE_SIZE, PMD_SIZE, UINT_MAX, page_aligned
from untorn.mm.file import VmFile
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mman import MAP_32BIT, MAP_ABOVE4G, MAP_FIXED, MAP_SHARED, VM_GROWSDOWN
from untorn.mm.tree.gap import highest_gap, lowest_gap
from untorn.releases.changes import (
    ABOVE4G,
    ALIGNED_AT_TOP,
    ANON_HINT_UNALIGNED,
    ANON_HUGE_ALIGNED,
    ANON_WHOLE_ALIGNED,
    DEV_ZERO_HUGE_ALIGNED,
    HUGE_PLACED_AS_OTHERS,
)

LOW_32BIT = 0x4000_0000, 0x8000_0000
"""The byte range of MAP_32BIT."""


def get_unmapped_area(
    mm: MmStruct, file: VmFile | None, addr: int, length: int, pgoff: int, flags: int
) -> int:
    """Return the byte address for a mapping of length bytes from page pgoff of file.

    Preconditions: mmap_lock held for write; length page-aligned.

    Raises:
        OSError: ENOMEM if no gap is large enough or the range ends above task_size; EINVAL if a
            fixed address, or on hugetlbfs the length, is not aligned; EPERM if the address is below
            dac_mmap_min_addr.
    """
    # The checks are in Linux's order, which decides the errno if several of them fail.
    if length > mm.task_size:
        raise os_error(errno.ENOMEM)
    if file is not None and file.kernel_page_size > PAGE_SIZE:
        _check_huge(file, addr, length, flags)
    if not flags & MAP_FIXED:
        addr = _place(mm, file, addr, length, pgoff, flags)
    if addr > mm.task_size - length:
        raise os_error(errno.ENOMEM)
    if not page_aligned(addr):
        raise os_error(errno.EINVAL)
    if addr < mm.limits.dac_mmap_min_addr and not mm.limits.cap_sys_rawio:
        raise os_error(errno.EPERM)
    return addr


def _check_huge(file: VmFile, addr: int, length: int, flags: int) -> None:
    """Compare fs/hugetlbfs/inode.c:hugetlb_get_unmapped_area()."""
    page_size = file.kernel_page_size
    if length % page_size or (flags & MAP_FIXED and addr % page_size):
        raise os_error(errno.EINVAL)


def vm_start_gap(mm: MmStruct, vma: Vma) -> int:
    """Return the start of vma, or of the guard gap below it if it is a stack."""
    if vma.vm_flags & VM_GROWSDOWN:
        return max(vma.vm_start - mm.limits.stack_guard_gap, 0)
    return vma.vm_start


def _place(
    mm: MmStruct, file: VmFile | None, hint: int, length: int, pgoff: int, flags: int
) -> int:
    """Return the byte address of the mapping, aligned for huge pages if it may hold some.

    In a 32-bit process only hugetlbfs is aligned, and no part of the address space is special.
    """
    # A 32-bit process has no memory above 4 GiB, so both flags mean nothing.
    if mm.task_size <= UINT_MAX:
        flags &= ~(MAP_32BIT | MAP_ABOVE4G)
    if file is not None and file.huge is not None:
        return _found(_search_huge(mm, file.kernel_page_size, hint, length, flags))
    if mm.task_size <= UINT_MAX:
        return _found(_search(mm, hint, length, flags))
    found = None
    if file is not None and _aligns_file(mm, file, flags):
        found = _search_aligned(mm, hint, length, pgoff << PAGE_SHIFT, flags)
    elif file is None and _aligns_anonymous(mm, hint, length, flags):
        found = _search_aligned(mm, hint, length, 0, flags)
    return _found(_search(mm, hint, length, flags) if found is None else found)


def _aligns_file(mm: MmStruct, file: VmFile, flags: int) -> bool:
    private_zero = file.is_zero and not flags & MAP_SHARED
    return file.huge_aligned or (private_zero and mm.release.has(DEV_ZERO_HUGE_ALIGNED))


def _aligns_anonymous(mm: MmStruct, hint: int, length: int, flags: int) -> bool:
    if flags & MAP_SHARED or not mm.release.has(ANON_HUGE_ALIGNED):
        return False
    against = ((length % PMD_SIZE, ANON_WHOLE_ALIGNED), (hint, ANON_HINT_UNALIGNED))
    return not any(given and mm.release.has(change) for given, change in against)


def _found(place: int | None) -> int:
    if place is None:
        raise os_error(errno.ENOMEM)
    return place


def _search_huge(mm: MmStruct, page_size: int, hint: int, length: int, flags: int) -> int | None:
    """Find a place for huge pages. Compare fs/hugetlbfs/inode.c:hugetlb_get_unmapped_area()."""
    if mm.release.has(HUGE_PLACED_AS_OTHERS):
        hint += -hint % page_size
    else:
        hint -= hint % page_size
        flags &= ~(MAP_32BIT | MAP_ABOVE4G)
    return _search(mm, hint, length, flags, page_size)


def _search_aligned(mm: MmStruct, hint: int, length: int, offset: int, flags: int) -> int | None:
    """Find a range that is longer by one huge page, and align byte offset of the file within it.

    A hint counts only if that longer range fits there. Compare
    mm/huge_memory.c:__thp_get_unmapped_area().
    """
    # The range must contain at least one whole huge page of the file.
    if offset + length - (offset + -offset % PMD_SIZE) < PMD_SIZE:
        return None
    found = _search(mm, hint, length + PMD_SIZE, flags)
    if found is None or found == hint:
        return found
    # The file offset and the address must be equal modulo the size of a huge page. In a top-down
    # layout an aligned address moves up by a whole huge page, so that the mapping ends where the
    # longer range ends, at the mapping above.
    at_top = mm.topdown and mm.release.has(ALIGNED_AT_TOP)
    return found + ((offset - found) % PMD_SIZE or (PMD_SIZE if at_top else 0))


def _search(mm: MmStruct, hint: int, length: int, flags: int, align: int = PAGE_SIZE) -> int | None:
    """Return the hint if it fits, else a place in the highest gap below mmap_base, or the lowest.

    In a legacy layout, return the hint or a place in the lowest gap above mmap_base. Any place but
    the hint is a multiple of align. With five-level page tables, a hint above map_window opens the
    address space up to task_size.
    """
    if flags & MAP_32BIT:
        return _bottom_up(mm, hint, length, *LOW_32BIT, align)
    limit = mm.task_size if hint > mm.map_window else mm.map_window
    if not mm.topdown:
        return _bottom_up(mm, hint, length, mm.mmap_base, limit, align)
    if hint and _hint_fits(mm, hint, length, limit):
        return hint
    # If there is no room below mmap_base, the last resort is the space between it and the stack.
    found = _top_down(mm, length, flags, mm.mmap_base + limit - mm.map_window, align)
    if found is None:
        found = _bottom_up(mm, 0, length, mm.mmap_legacy_base, limit, align)
    return found


def _hint_fits(mm: MmStruct, hint: int, length: int, limit: int) -> bool:
    if hint > limit - length:
        return False
    following = mm.find_vma(hint)
    return following is None or hint + length <= vm_start_gap(mm, following)


def _top_down(mm: MmStruct, length: int, flags: int, high: int, align: int) -> int | None:
    above_4g = flags & MAP_ABOVE4G and mm.release.has(ABOVE4G)
    low = max(1 << 32 if above_4g else PAGE_SIZE, mm.limits.mmap_min_addr)
    # The guard gap of a stack above may make a gap too small. The tree does not know guard gaps, so
    # the search starts again below the guard gap.
    while True:
        # Large enough to align the mapping, wherever the gap is.
        end = highest_gap(mm.mm_mt, length + align - PAGE_SIZE, low, high)
        if end is None:
            return None
        limit = _guard_below(mm, end)
        if limit >= end:
            return end - length & -align
        high = limit


def _bottom_up(mm: MmStruct, hint: int, length: int, low: int, high: int, align: int) -> int | None:
    if hint and _hint_fits(mm, hint, length, high):
        return hint
    # As above, but here the end of the range may be in a guard gap, and the search goes on above
    # that stack.
    room = length + align - PAGE_SIZE
    while True:
        start = lowest_gap(mm.mm_mt, room, low, high)
        if start is None:
            return None
        start += -start % align
        # The range, after it was moved up for alignment, may reach into the guard gap of the next
        # VMA. It cannot reach into a VMA without one.
        following = mm.find_vma(start)
        guarded = following is not None and following.vm_flags & VM_GROWSDOWN
        if following is None or not guarded or vm_start_gap(mm, following) >= start + room:
            return start
        low = following.vm_end


def _guard_below(mm: MmStruct, end: int) -> int:
    """Return the highest end that is not in the guard gap of the VMA above."""
    following = mm.find_vma(end - 1)
    return end if following is None else min(vm_start_gap(mm, following), end)
