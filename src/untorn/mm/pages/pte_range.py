"""Change a range of the page table for system calls: move, discard, guard, copy.

Compare mm/mremap.c:move_page_tables(), mm/madvise.c:madvise_free_pte_range(),
madvise_cold_or_pageout_pte_range(), madvise_guard_install(); mm/memory.c:copy_page_range().
"""

from untorn.maps.page import PAGE_SHIFT
from untorn.mm.filemap import Page, PageKind
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mman import VM_DROPPABLE, VM_HUGETLB, VM_MAYBE_GUARD, VM_SHARED
from untorn.mm.page_table import ANON, DIRTY, GUARD, NONE, PAGE, Part
from untorn.mm.pages.hugetlb_fault import copy_huge_pages

_FREED = bytes(pte & ~DIRTY if pte & ANON else pte for pte in range(256))
"""The entry after MADV_FREE, for each entry before."""
_UNGUARDED = bytes(NONE if pte == GUARD else pte for pte in range(256))
"""The entry after MADV_GUARD_REMOVE, for each entry before."""


def move_page_tables(mm: MmStruct, old: int, new: int, length: int) -> None:
    """Move the pages of [old, old + length) to new, byte addresses.

    Preconditions: mmap_lock held for write, both VMAs write-locked; no page mapped at new.
    """
    page_table = mm.page_table
    for part in page_table.parts(old, old + length):
        # Move the entries under one hold of the lock: AddressSpace.punch_hole() searches for a page
        # under it, and must find the page in one of the two places. Mapcounts do not change.
        with page_table.lock:
            ptes = part.table.ptes[part.first : part.last]
            pages = dict(part.table.shared_in(part.first, part.last))
            for index in pages:
                del part.table.pages[index]
            part.table.ptes[part.first : part.last] = bytes(len(ptes))
            page_table.free_empty(part)
            for offset, pte in enumerate(ptes):
                if pte != NONE:
                    place = part.addr + (offset << PAGE_SHIFT) - old + new
                    _put(page_table.part(place, place + 1), pte, pages.get(part.first + offset))


def _put(part: Part, pte: int, page: Page | None) -> None:
    part.table.ptes[part.first] = pte
    if page is not None:
        part.table.pages[part.first] = page


def free_lazily(vma: Vma, start: int, end: int) -> None:
    """Give up the contents of anonymous pages of [start, end) until they are written again.

    Preconditions: vma stable and anonymous.
    """
    page_table = vma.vm_mm.page_table
    for table, first, last, _ in page_table.parts(start, end):
        with page_table.lock:
            table.ptes[first:last] = table.ptes[first:last].translate(_FREED)
            # Shared pages stay shared; only this process's entry loses its dirty bit.
            for index, _ in table.shared_in(first, last):
                table.ptes[index] = PAGE


def page_out(vma: Vma, start: int, end: int) -> None:
    """Unmap pages of [start, end) that can be brought in again and are mapped only here.

    There is no swap: anonymous pages stay unless MADV_FREE gave them up or they are droppable.

    Preconditions: mmap_lock held.
    """
    page_table = vma.vm_mm.page_table
    for part in page_table.parts(start, end):
        with page_table.lock:
            _page_out_part(vma, part)
            page_table.free_empty(part)


def _page_out_part(vma: Vma, part: Part) -> None:
    table = part.table
    for index in range(part.first, part.last):
        page, pte = table.pages.get(index), table.ptes[index]
        # Anonymous memory goes only if MADV_FREE gave it up or the VMA is droppable.
        may_go = not pte & DIRTY or bool(vma.vm_flags & VM_DROPPABLE)
        if page is None:
            if pte & ANON and may_go:
                table.ptes[index] = NONE
        elif page.mapcount == 1 and (page.kind is not PageKind.ANON or may_go):
            table.clear(index, index + 1)
            # A file in memory need not keep a page that was never written.
            if page.kind is PageKind.SHMEM and vma.vm_file is not None:
                offset = part.addr - vma.vm_start >> PAGE_SHIFT
                vma.vm_file.mapping.forget_clean(vma.vm_pgoff + offset + index - part.first)


def install_guards(vma: Vma, start: int, end: int) -> None:
    """Discard the pages of [start, end) and make every access there fail.

    Preconditions: vma stable.
    """
    page_table = vma.vm_mm.page_table
    # part() creates missing tables: a guard is an entry, too.
    while start < end:
        with page_table.lock:
            table, first, last, addr = page_table.part(start, end)
            table.clear(first, last)
            table.ptes[first:last] = bytes([GUARD]) * (last - first)
            start = addr + (last - first << PAGE_SHIFT)


def remove_guards(vma: Vma, start: int, end: int) -> None:
    """Remove the guards of [start, end). Preconditions: vma stable."""
    page_table = vma.vm_mm.page_table
    for part in page_table.parts(start, end):
        with page_table.lock:
            table, first, last, _ = part
            table.ptes[first:last] = table.ptes[first:last].translate(_UNGUARDED)
            page_table.free_empty(part)


def copy_page_range(child: MmStruct, vma: Vma) -> None:
    """Map the pages of the parent's vma in child, too, at the same addresses.

    From then on both share anonymous pages, until one of them writes. A VMA without an anon_vma and
    guards is left out: faults can bring in the file's pages again.

    Preconditions: mmap_lock of both held for write; vma write-locked.
    """
    if vma.anon_vma is None and not vma.vm_flags & VM_MAYBE_GUARD:
        return
    if vma.vm_flags & VM_HUGETLB:
        copy_huge_pages(child, vma)
        return
    # The copy of a shared mapping starts clean: the Page itself records what was written.
    page_table = vma.vm_mm.page_table
    keeps = 0xFF & ~DIRTY if vma.vm_flags & VM_SHARED else 0xFF
    for part in page_table.parts(vma.vm_start, vma.vm_end):
        # No lock is needed: vma is write-locked, so no fault can map a page in it now.
        if part.is_empty:
            continue
        with page_table.lock:
            # While only one process mapped a page, a byte was enough. Now it needs a mapcount.
            part.table.give_pages(part.first, part.last)
            end = part.addr + (part.last - part.first << PAGE_SHIFT)
            # The parent's lock comes before the child's; see the lock order in mm/__init__.py.
            # Register the child's table with the file before it gets a page: see punch_hole().
            with child.page_table.lock:
                if vma.vm_file is not None:
                    child.page_table.maps_file(vma.vm_file.mapping)
                _copy_part(part, child.page_table.part(part.addr, end), keeps)


def _copy_part(part: Part, copy: Part, keeps: int) -> None:
    for index, page in part.table.shared_in(part.first, part.last):
        page.map()
        copy.table.pages[index] = page
    for index in range(part.first, part.last):
        copy.table.ptes[index] = part.table.ptes[index] & keeps
