"""Change the page table for an access: choose the page and map it.

Every function needs a stable VMA: read-locked, or mmap_lock held. Compare mm/memory.c:
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
"""The most pages of the page cache that one read fault maps. Source: fault_around_bytes."""

_READ = bytes([ZERO, *range(1, 256)])
_WRITTEN = bytes(pte if pte & (PAGE | GUARD) else ANON | DIRTY for pte in range(256))
"""The entry after a read or write of anonymous memory, for each entry before."""


def fault_in(vma: Vma, start: int, end: int, *, write: bool, by_kernel: bool = False) -> bool:
    """Map the pages of [start, end), byte addresses in vma, as if each was accessed.

    Stop at the first guard, and return False then.

    Args:
        vma: The VMA. It allows the access, has an anon_vma if the access makes anonymous pages,
            and its file, if any, reaches to end.
        start: Byte address.
        end: Byte address after the last page.
        write: Whether the access writes.
        by_kernel: The kernel touches the pages itself, as with MADV_POPULATE_WRITE.
    """
    page_table = vma.vm_mm.page_table
    # Handle one table at a time. Other tasks may fault in the same pages meanwhile, so each entry
    # is tested and set under one hold of the lock.
    while start < end:
        with page_table.lock:
            part = page_table.part(start, end)
            guard = part.table.ptes.find(GUARD, part.first, part.last)
            # The pages before the guard are mapped nevertheless, as by a loop of accesses.
            if guard >= 0:
                part = part._replace(last=guard)
            _fault_in_part(vma, part, write, by_kernel)
            if guard >= 0:
                return False
            start = part.addr + (part.last - part.first << PAGE_SHIFT)
    return True


def fault_around(vma: Vma, addr: int) -> None:
    """Map the cached pages around a page beyond the end of vma's file, at byte address addr.

    A read of that page fails, but Linux does this first.
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
        # Register the table with the file before looking up a page; see punch_hole().
        vma.vm_mm.page_table.maps_file(vma.vm_file.mapping)
        _access_file(vma, vma.vm_file, part, write, by_kernel)
    else:
        # A read of anonymous memory maps the zero page where there is no page yet.
        ptes = part.table.ptes
        ptes[part.first : part.last] = ptes[part.first : part.last].translate(_READ)


def _write_private(vma: Vma, part: Part) -> None:
    """Make the pages private to the process. Copy those that others map as well."""
    # The copy is made from the file's page. In a file in memory, reading the page creates it. The
    # copy itself has no Page, because only this process maps it.
    table, first, last, _ = part
    if vma.vm_file is not None and vma.vm_file.mapping.kind is PageKind.SHMEM:
        for index in range(first, last):
            if table.ptes[index] == NONE:
                vma.vm_file.mapping.page(_file_page(vma, part, index))
    # Copy on write: the entry drops the shared page. Anonymous memory that only this entry maps
    # stays in its frame if the frame number was asked for. Otherwise it no longer needs a Page, and
    # no task can tell: one that maps it or asks for its frame needs the lock that is held here.
    # Compare mm/memory.c:wp_can_reuse_anon_folio().
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
            # A read maps the cached pages around this page, and this page if it is cached.
            if not write:
                _fault_around(vma, file, part, index)
            if part.table.ptes[index] == NONE:
                # Look up and map under one hold of this table's lock: punch_hole() relies on that.
                page = file.mapping.page(_file_page(vma, part, index))
                page.map()
                part.table.set_page(index, page)
        if write:
            _dirty(part.table, index, page_itself=present == NONE or by_kernel)


def _dirty(table: PteTable, index: int, *, page_itself: bool) -> None:
    """Record a write to a shared page: in the Page for all processes if page_itself.

    A file on a disk gets a fault for every first write. A page of a file in memory that is mapped
    already is writable without a fault, so only the entry becomes dirty.
    """
    page = table.pages[index]
    if page.kind is PageKind.FILE or page_itself:
        with page.lock:
            page.dirty = True
    if page.kind is PageKind.SHMEM:
        table.ptes[index] |= DIRTY


def _fault_around(vma: Vma, file: VmFile, part: Part, index: int) -> None:
    """Map the cached pages around a page that is read.

    The pages are an aligned block of the page table, clipped to the VMA, the table and the file. If
    its start is clipped, its end moves up. Compare mm/memory.c:do_fault_around(),
    mm/filemap.c:filemap_map_pages().
    """
    table, base = part.table, part.addr - (part.first << PAGE_SHIFT)
    lowest = vma.vm_start - base >> PAGE_SHIFT
    first = max(index & -FAULT_AROUND_PAGES, lowest, 0)
    last = min(first + FAULT_AROUND_PAGES, PTRS_PER_PTE, vma.vm_end - base >> PAGE_SHIFT)
    shift = _file_page(vma, part, 0)
    end = (file.size + PAGE_SIZE - 1 >> PAGE_SHIFT) - shift
    last = min(last, end)
    if file.mapping.kind is PageKind.FILE and first == end - 1 and table.is_empty:
        return  # Linux 6.18 installs no new page table if the file's last page comes first
    wanted = [i for i in range(first, last) if table.ptes[i] == NONE]
    if not wanted:
        return
    for page_number, page in file.mapping.map_cached(wanted[0] + shift, wanted[-1] + 1 + shift):
        # map_cached() has counted an entry for each page; entries already in use do not need it.
        if table.ptes[page_number - shift] == NONE:
            table.set_page(page_number - shift, page)
        else:
            page.unmap(dirty=False)


def _file_page(vma: Vma, part: Part, index: int) -> int:
    """Return the page number in the file that entry index maps; it may be negative below vma."""
    base = part.addr - (part.first << PAGE_SHIFT)
    return vma.vm_pgoff + (base - vma.vm_start >> PAGE_SHIFT) + index
