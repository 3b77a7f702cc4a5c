"""The effect of accesses, fork, mremap and munmap on the pages of a VMA of hugetlbfs.

Lock order: the page table's lock, then that of the pool. A fault holds both from its test of the
entry until the entry is set, so that two faults never take two pages for one entry. Compare
mm/hugetlb.c:hugetlb_fault(), hugetlb_no_page(), hugetlb_wp(), __unmap_hugepage_range(),
copy_hugetlb_page_range(), move_hugetlb_page_tables().
"""

from collections.abc import Sequence

from untorn.errors import NotModelledError
from untorn.mm.hugetlb import HugeInode, HugePage
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mman import VM_HUGETLB, VM_MAYSHARE
from untorn.mm.vmas.hugetlb_reserve import (
    huge_index,
    hugetlb_inode,
    hugetlb_vm_close,
    vma_page_size,
)
from untorn.releases.changes import HUGE_RESERVATION_RESTORED


def hugetlb_fault(vma: Vma, start: int, end: int, *, write: bool) -> bool:
    """Map the huge pages of [start, end), byte addresses in vma, as if each was accessed.

    Stop at the first page for which the pool or the file has none, and return False then.

    Preconditions: vma stable; it allows the access, and has an anon_vma if the access makes an
        anonymous page.

    Raises:
        NotModelledError: The pool has no free page, and Linux would take one from a child.
    """
    inode, page_size = hugetlb_inode(vma), vma_page_size(vma)
    page_table = vma.vm_mm.page_table
    for addr in range(start & -page_size, end, page_size):
        with page_table.lock, inode.pool.lock:
            if not _fault(vma, inode, addr, write=write):
                return False
    return True


def makes_anon_pages(vma: Vma, start: int, end: int) -> bool:
    """Return whether reading [start, end) of a private vma makes anonymous pages.

    If the page cache has no page there, a private mapping gets a page of its own.

    Preconditions: vma stable.
    """
    inode = hugetlb_inode(vma)
    with inode.pool.lock:
        indexes = range(huge_index(vma, start), huge_index(vma, end - 1) + 1)
        return any(index not in inode.pages for index in indexes)


def _fault(vma: Vma, inode: HugeInode, addr: int, *, write: bool) -> bool:
    """Preconditions: both locks held."""
    page_table = vma.vm_mm.page_table
    page = page_table.huge.get(addr)
    if page is None:
        page = inode.pages.get(huge_index(vma, addr)) or _new_page(vma, inode, addr)
        if page is None:
            return False
        page_table.maps_huge_inode(inode)
        page.mapcount += 1
        page_table.huge[addr] = page
    return not write or bool(vma.vm_flags & VM_MAYSHARE) or _write_private(vma, inode, addr, page)


def _new_page(vma: Vma, inode: HugeInode, addr: int) -> HugePage | None:
    """Take a page from the pool, and use the reservation for it if there is one."""
    index, shared = huge_index(vma, addr), bool(vma.vm_flags & VM_MAYSHARE)
    assert vma.vm_file is not None
    if index >= vma.vm_file.size // inode.pool.page_size:
        return None
    resv_map = inode.resv_map if shared else vma.resv_map
    # The two have opposite meanings: an inode's resv_map lists reserved pages, a VMA's used ones.
    reserved = resv_map is not None and (index in resv_map) is shared
    page = inode.pool.alloc(inode if shared else None, reserved=reserved)
    if page is not None and resv_map is not None:
        resv_map.add(index)
    if page is not None and shared:
        inode.pages[index] = page
    return page


def _write_private(vma: Vma, inode: HugeInode, addr: int, page: HugePage) -> bool:
    """Give the process its own copy of the page at addr. Preconditions: both locks held."""
    if page.inode is None and page.mapcount == 1:
        page.dirty = True
        return True
    # If a fork shares this page, its reservation is used up already.
    if page.inode is None and vma.resv_map is not None:
        new = inode.pool.alloc(None, reserved=False)
        if new is None:
            raise NotModelledError(
                f"page fault at {addr:x}: the pool has no free huge page. Linux would take the page"
                " from the child processes that share it, which is not modelled"
            )
    else:
        new = _new_page(vma, inode, addr)
    if new is None:
        return False
    new.mapcount, new.dirty = 1, True
    vma.vm_mm.page_table.huge[addr] = new
    page.mapcount -= 1
    if page.inode is None and not page.mapcount:
        inode.pool.put(page)
    return True


def unmap_huge_pages(vma: Vma, start: int, end: int) -> list[HugePage]:
    """Unmap [start, end) of vma, byte addresses. Return the pages that nothing maps any more.

    The caller frees them with free_huge_pages() after it has unmapped all VMAs of the call: surplus
    pages freed for one VMA must not change the result for the next.

    Preconditions: no fault can happen there, or the VMA is stable.
    """
    inode, page_size = hugetlb_inode(vma), vma_page_size(vma)
    page_table = vma.vm_mm.page_table
    restores = vma.resv_map if vma.vm_mm.release.has(HUGE_RESERVATION_RESTORED) else None
    gone: list[HugePage] = []
    with page_table.lock, inode.pool.lock:
        for addr in _mapped(vma.vm_mm, start, end, page_size):
            page = page_table.huge.pop(addr)
            page.mapcount -= 1
            if page.inode is None and not page.mapcount:
                if restores is not None and not inode.pool.surplus:
                    # Reserve the page again, so that no other mapping can take it meanwhile.
                    restores.discard(huge_index(vma, addr))
                    page.restore_reserve = True
                gone.append(page)
    return gone


def free_huge_pages(vma: Vma, pages: Sequence[HugePage]) -> None:
    """Return the pages that unmap_huge_pages() unmapped to the pool of vma."""
    pool = hugetlb_inode(vma).pool
    with pool.lock:
        for page in pages:
            pool.put(page)


def close_huge_vmas(vmas: Sequence[Vma]) -> None:
    """Unmap the VMAs of hugetlbfs among vmas, and give back their reservations.

    Preconditions: no fault can happen there.
    """
    huge = [vma for vma in vmas if vma.vm_flags & VM_HUGETLB]
    unmapped = [(vma, unmap_huge_pages(vma, vma.vm_start, vma.vm_end)) for vma in huge]
    for vma, pages in unmapped:
        free_huge_pages(vma, pages)
    for vma in huge:
        hugetlb_vm_close(vma)


def move_huge_pages(vma: Vma, old: int, new: int, length: int) -> None:
    """Move the pages of [old, old + length) of vma to new, byte addresses.

    Preconditions: mmap_lock held for write, both VMAs write-locked; no page mapped at new.
    """
    page_table = vma.vm_mm.page_table
    with page_table.lock:
        for addr in _mapped(vma.vm_mm, old, old + length, vma_page_size(vma)):
            page_table.huge[addr - old + new] = page_table.huge.pop(addr)


def copy_huge_pages(child: MmStruct, vma: Vma) -> None:
    """Map the pages of the parent's vma in child, too, at the same addresses.

    Preconditions: mmap_lock of both held for write; vma write-locked.
    """
    inode, page_table = hugetlb_inode(vma), vma.vm_mm.page_table
    with page_table.lock, child.page_table.lock, inode.pool.lock:
        child.page_table.maps_huge_inode(inode)
        for addr in _mapped(vma.vm_mm, vma.vm_start, vma.vm_end, inode.pool.page_size):
            page = page_table.huge[addr]
            # Skip a page that is no longer in the page cache: HugeInode.punch_hole() is about to
            # unmap it everywhere, but may not know the child's page table.
            if page.inode is None or inode.pages.get(huge_index(vma, addr)) is page:
                page.mapcount += 1
                child.page_table.huge[addr] = page


def huge_pages_in(vma: Vma, start: int, end: int) -> list[HugePage]:
    """Return the pages that are mapped in [start, end) of vma, in order.

    Preconditions: vma stable.
    """
    page_table = vma.vm_mm.page_table
    with page_table.lock:
        mapped = _mapped(vma.vm_mm, start, end, vma_page_size(vma))
        return [page_table.huge[addr] for addr in mapped]


def _mapped(mm: MmStruct, start: int, end: int, page_size: int) -> list[int]:
    """Return the addresses of huge pages in [start, end), in order. Preconditions: lock held."""
    # Walk whichever are fewer: the pages of the range, or those that are mapped.
    huge = mm.page_table.huge
    if (end - start) // page_size < len(huge):
        return [addr for addr in range(start, end, page_size) if addr in huge]
    return sorted(addr for addr in huge if start <= addr < end)
