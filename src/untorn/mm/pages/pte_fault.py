"""What an access makes of the page table: which page it maps, and how.

Every function needs the VMA kept still: its read lock, or mmap_lock. Compare mm/memory.c:
handle_pte_fault(), do_anonymous_page(), do_read_fault(), do_cow_fault(), do_shared_fault(),
do_wp_page().
"""

from untorn.maps.page import PAGE_SHIFT, PAGE_SIZE
from untorn.mm.file import VmFile
from untorn.mm.filemap import PageKind
from untorn.mm.mm_types import Vma
from untorn.mm.mman import VM_SHARED
from untorn.mm.page_table import (
    ANON,
    DIRTY,
    GUARD,
    NONE,
    PAGE,
    PTRS_PER_PTE,
    ZERO,
    Part,
    PteTable,
)

FAULT_AROUND_PAGES = 16
"""Pages of the page cache that one read fault maps at most. Source: fault_around_bytes."""

_READ = bytes([ZERO, *range(1, 256)])
_WRITTEN = bytes(pte if pte & (PAGE | GUARD) else ANON | DIRTY for pte in range(256))
"""What a read or write of anonymous memory makes of each entry."""


def fault_in(vma: Vma, start: int, end: int, *, write: bool, by_kernel: bool = False) -> bool:
    """Map the pages of [start, end), byte addresses in vma, as an access to each would.

    It ends at the first guard; False then.

    Args:
        vma: Allows the access, has an anon_vma if it makes pages its own, and its file, if any,
            reaches to end.
        start: Byte address.
        end: Byte address after the last page.
        write: Whether the access writes.
        by_kernel: The kernel touches the pages itself, as MADV_POPULATE_WRITE asks it to.
    """
    page_table = vma.vm_mm.page_table
    # One table at a time. Other tasks may fault in the same pages meanwhile: each entry is looked
    # at and set in one section of the lock.
    while start < end:
        with page_table.lock:
            part = page_table.part(start, end)
            guard = part.table.ptes.find(GUARD, part.first, part.last)
            # What comes before the guard is mapped nevertheless, as by a loop of accesses.
            if guard >= 0:
                part = part._replace(last=guard)
            _fault_in_part(vma, part, write, by_kernel)
            if guard >= 0:
                return False
            start = part.addr + (part.last - part.first << PAGE_SHIFT)
    return True


def fault_around(vma: Vma, addr: int) -> None:
    """Map what is in the page cache around a page after the end of vma's file.

    A read there fails, but only after this was done. addr is the byte address of the page.
    """
    page_table = vma.vm_mm.page_table
    with page_table.lock:
        part = page_table.part(addr, addr + PAGE_SIZE)
        if vma.vm_file is not None:
            page_table.maps_file(vma.vm_file.mapping)
            _fault_around(vma, vma.vm_file, part, part.first)
        page_table.free_empty(part)


def _fault_in_part(vma: Vma, part: Part, write: bool, by_kernel: bool) -> None:
    if write and not vma.vm_flags & VM_SHARED:
        _write_private(vma, part)
    elif vma.vm_file is not None and not vma.vm_file.is_zero:
        # The file must know of this table before a page is looked up; see punch_hole().
        vma.vm_mm.page_table.maps_file(vma.vm_file.mapping)
        _access_file(vma, vma.vm_file, part, write, by_kernel)
    else:
        # Anonymous memory that is read maps the zero page, and keeps what it has.
        ptes = part.table.ptes
        ptes[part.first : part.last] = ptes[part.first : part.last].translate(_READ)


def _write_private(vma: Vma, part: Part) -> None:
    """Make the pages the process's own; what others map as well is copied."""
    # The copy is made from the file's page, which in a file in memory comes into being by being
    # read. The copy itself has no Page: only this process maps it.
    table, first, last, _ = part
    if vma.vm_file is not None and vma.vm_file.mapping.kind is PageKind.SHMEM:
        for index in range(first, last):
            if table.ptes[index] == NONE:
                vma.vm_file.mapping.page(_file_page(vma, part, index))
    # Copy on write: the entry lets go of the common page. Anonymous memory that only this entry
    # maps stays in its frame, if that was asked for; else it needs no Page any more, and nobody can
    # tell. To map it as well, or to ask for its frame, takes the lock that is held here. Compare
    # mm/memory.c:wp_can_reuse_anon_folio().
    for index, page in table.shared_in(first, last) if table.pages else ():
        if page.kind is PageKind.ANON and page.mapcount == 1 and page.pfn:
            table.ptes[index] |= DIRTY
        else:
            page.unmap(dirty=False)
            del table.pages[index]
            table.ptes[index] = NONE
    table.ptes[first:last] = table.ptes[first:last].translate(_WRITTEN)


def _access_file(vma: Vma, file: VmFile, part: Part, write: bool, by_kernel: bool) -> None:
    for index in range(part.first, part.last):
        present = part.table.ptes[index]
        if present == NONE:
            # A read maps what is cached around the page, and perhaps the page with it.
            if not write:
                _fault_around(vma, file, part, index)
            if part.table.ptes[index] == NONE:
                # Lookup and entry lie in one section of this table's lock, for punch_hole().
                page = file.mapping.page(_file_page(vma, part, index))
                page.map()
                part.table.set_page(index, page)
        if write:
            _dirty(part.table, index, page_itself=present == NONE or by_kernel)


def _dirty(table: PteTable, index: int, *, page_itself: bool) -> None:
    """Note a write to a shared page: for all processes that map it if page_itself.

    A file on a disk notices every first write. A page in memory that is mapped already is
    writable without a fault, so that only the entry tells.
    """
    page = table.pages[index]
    if page.kind is PageKind.FILE or page_itself:
        with page.lock:
            page.dirty = True
    if page.kind is PageKind.SHMEM:
        table.ptes[index] |= DIRTY


def _fault_around(vma: Vma, file: VmFile, part: Part, index: int) -> None:
    """Map what is in the page cache around a page that is read.

    The window is a block of the page table, cut to the VMA, the table and the file; a start that
    was cut moves the end. Compare mm/memory.c:do_fault_around(), mm/filemap.c:filemap_map_pages().
    """
    table, base = part.table, part.addr - (part.first << PAGE_SHIFT)
    lowest = vma.vm_start - base >> PAGE_SHIFT
    first = max(index & -FAULT_AROUND_PAGES, lowest, 0)
    last = min(first + FAULT_AROUND_PAGES, PTRS_PER_PTE, vma.vm_end - base >> PAGE_SHIFT)
    shift = _file_page(vma, part, 0)
    end = (file.size + PAGE_SIZE - 1 >> PAGE_SHIFT) - shift
    last = min(last, end)
    if file.mapping.kind is PageKind.FILE and first == end - 1 and table.is_empty:
        return  # 6.18 puts no new page table in place if it meets the file's last page first
    wanted = [i for i in range(first, last) if table.ptes[i] == NONE]
    if not wanted:
        return
    for page_number, page in file.mapping.map_cached(wanted[0] + shift, wanted[-1] + 1 + shift):
        # Pages came counted for each entry of the span; entries that are in use give theirs back.
        if table.ptes[page_number - shift] == NONE:
            table.set_page(page_number - shift, page)
        else:
            page.unmap(dirty=False)


def _file_page(vma: Vma, part: Part, index: int) -> int:
    """Return which page of the file entry index maps; negative below the VMA's first."""
    base = part.addr - (part.first << PAGE_SHIFT)
    return vma.vm_pgoff + (base - vma.vm_start >> PAGE_SHIFT) + index
