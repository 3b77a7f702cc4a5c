"""The entries of pagemap for a part of a page table.

Compare fs/proc/task_mmu.c:pte_to_pagemap_entry().
"""

from untorn.errors import NotModelledError
from untorn.maps.pagemap import (
    PM_FILE,
    PM_GUARD_REGION,
    PM_MMAP_EXCLUSIVE,
    PM_PRESENT,
    PM_SWAP,
)
from untorn.mm.filemap import Page, PageKind
from untorn.mm.mem_map import ZERO_PFN, mem_map
from untorn.mm.mm_types import Vma, vma_kernel_pagesize
from untorn.mm.mman import VM_HUGETLB
from untorn.mm.page_table import ANON, DIRTY, GUARD, NONE, PAGE, ZERO, Part
from untorn.mm.pages.hugetlb_fault import huge_pages_in

_GUARD_MARKER = 31 | 4 << 5
"""Replaces the frame number: the swap type of markers, and the number of this marker."""
_OWN = PM_PRESENT | PM_MMAP_EXCLUSIVE
_ENTRIES = {
    NONE: 0,
    ZERO: PM_PRESENT | ZERO_PFN,
    ANON: _OWN,
    ANON | DIRTY: _OWN,
    GUARD: PM_SWAP | PM_GUARD_REGION | _GUARD_MARKER,
    PAGE: 0,
    PAGE | DIRTY: 0,
}
"""The pagemap entry of each page table entry without a Page; 0 for those with one."""


def pagemap_entries(part: Part, *, frames: bool) -> list[int]:
    """Return the entry of each page of a part.

    Args:
        part: Part of one page table.
        frames: Whether to show the frames of Pages. If so, anonymous memory gets Pages, and keeps
            them. The frame of the zero page and the marker of guards are always in the entry.

    Preconditions: the page table's lock held.
    """
    table, first, last, _ = part
    if frames:
        table.give_pages(first, last)
    entries = [_ENTRIES[pte] for pte in table.ptes[first:last]]
    for index, page in table.shared_in(first, last):
        entries[index - first] = _page_entry(page) | (mem_map.pfn(page) if frames else 0)
    return entries


def refuse_huge_pages(vma: Vma, start: int, end: int, call: str) -> None:
    """Refuse a call if [start, end) of vma, byte addresses, has huge pages of hugetlbfs.

    Preconditions: vma stable.

    Raises:
        NotModelledError: It has some: the engine makes no entries for them.
    """
    if not vma.vm_flags & VM_HUGETLB:
        return
    if huge_pages_in(vma, start & -vma_kernel_pagesize(vma), end):
        raise NotModelledError(f"{call}: {start:x}-{end:x} has huge pages, which are not modelled")


def _page_entry(page: Page) -> int:
    entry = PM_PRESENT
    if page.kind is not PageKind.ANON:
        entry |= PM_FILE
    if page.mapcount == 1:
        entry |= PM_MMAP_EXCLUSIVE
    return entry
