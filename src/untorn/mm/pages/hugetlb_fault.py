"""What accesses, fork, mremap and munmap make of the pages of a VMA of hugetlbfs.

Lock order: the page table's lock, then that of the pool. A fault holds both from the look at the
entry until it is set, so that two of them never take two pages for one. Compare
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
    """Map the huge pages that hold [start, end), byte addresses in vma, as an access to each would.

    It ends at the first that cannot be had; False then.

    Preconditions: vma kept still; it allows the access, and has an anon_vma if that makes a page
        its own.

    Raises:
        NotModelledError: The pool is short, and Linux would take a page from a child.
    """
    inode, page_size = hugetlb_inode(vma), vma_page_size(vma)
    page_table = vma.vm_mm.page_table
    for addr in range(start & -page_size, end, page_size):
        with page_table.lock, inode.pool.lock:
            if not _fault(vma, inode, addr, write=write):
                return False
    return True


def makes_anon_pages(vma: Vma, start: int, end: int) -> bool:
    """Say whether reading [start, end) of a private vma makes pages of its own.

    Where the file has no page in the cache a private mapping gets one that no other sees.

    Preconditions: vma kept still.
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
    """Take a page from the pool, by the reservation for it if there is one."""
    index, shared = huge_index(vma, addr), bool(vma.vm_flags & VM_MAYSHARE)
    assert vma.vm_file is not None
    if index >= vma.vm_file.size // inode.pool.page_size:
        return None
    resv_map = inode.resv_map if shared else vma.resv_map
    # Opposite meanings: what an inode notes is reserved, what a VMA notes is used up.
    reserved = resv_map is not None and (index in resv_map) is shared
    page = inode.pool.alloc(inode if shared else None, reserved=reserved)
    if page is not None and resv_map is not None:
        resv_map.add(index)
    if page is not None and shared:
        inode.pages[index] = page
    return page


def _write_private(vma: Vma, inode: HugeInode, addr: int, page: HugePage) -> bool:
    """Make the page at addr the process's own. Preconditions: both locks held."""
    if page.inode is None and page.mapcount == 1:
        page.dirty = True
        return True
    # What was reserved for this page is used up already if it is one that a fork made common.
    if page.inode is None and vma.resv_map is not None:
        new = inode.pool.alloc(None, reserved=False)
        if new is None:
            raise NotModelledError(
                f"page fault at {addr:x}: the pool of huge pages is short, and that Linux takes the"
                " page from the child processes then, which map it, too, is not modelled"
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
    """Unmap [start, end) of vma, byte addresses; return the pages that nothing maps any more.

    The caller frees them by free_huge_pages(), all of one call at once: what a surplus page of
    another VMA does to the pool must not be seen here.

    Preconditions: no fault can come in there, or the VMA is kept still.
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
                    # So that it is not another one's before it is used here again.
                    restores.discard(huge_index(vma, addr))
                    page.restore_reserve = True
                gone.append(page)
    return gone


def free_huge_pages(vma: Vma, pages: Sequence[HugePage]) -> None:
    """Give pages that unmap_huge_pages() returned back to the pool of vma."""
    pool = hugetlb_inode(vma).pool
    with pool.lock:
        for page in pages:
            pool.put(page)


def close_huge_vmas(vmas: Sequence[Vma]) -> None:
    """Unmap those of vmas that are of hugetlbfs, and give back what they had reserved.

    Preconditions: no fault can come in there.
    """
    huge = [vma for vma in vmas if vma.vm_flags & VM_HUGETLB]
    unmapped = [(vma, unmap_huge_pages(vma, vma.vm_start, vma.vm_end)) for vma in huge]
    for vma, pages in unmapped:
        free_huge_pages(vma, pages)
    for vma in huge:
        hugetlb_vm_close(vma)


def move_huge_pages(vma: Vma, old: int, new: int, length: int) -> None:
    """Move the pages of [old, old + length) of vma to new, byte addresses.

    Preconditions: mmap_lock held for write, both VMAs write-locked; nothing mapped at new.
    """
    page_table = vma.vm_mm.page_table
    with page_table.lock:
        for addr in _mapped(vma.vm_mm, old, old + length, vma_page_size(vma)):
            page_table.huge[addr - old + new] = page_table.huge.pop(addr)


def copy_huge_pages(child: MmStruct, vma: Vma) -> None:
    """Let child map the pages of vma, its parent's, at the same addresses.

    Preconditions: mmap_lock of both held for write; vma write-locked.
    """
    inode, page_table = hugetlb_inode(vma), vma.vm_mm.page_table
    with page_table.lock, child.page_table.lock, inode.pool.lock:
        child.page_table.maps_huge_inode(inode)
        for addr in _mapped(vma.vm_mm, vma.vm_start, vma.vm_end, inode.pool.page_size):
            page = page_table.huge[addr]
            # The cache has no longer what HugeInode.punch_hole() is about to unmap everywhere: but
            # it may not know of the child.
            if page.inode is None or inode.pages.get(huge_index(vma, addr)) is page:
                page.mapcount += 1
                child.page_table.huge[addr] = page


def huge_pages_in(vma: Vma, start: int, end: int) -> list[HugePage]:
    """Return the pages that are mapped in [start, end) of vma, in order.

    Preconditions: vma kept still.
    """
    page_table = vma.vm_mm.page_table
    with page_table.lock:
        mapped = _mapped(vma.vm_mm, start, end, vma_page_size(vma))
        return [page_table.huge[addr] for addr in mapped]


def _mapped(mm: MmStruct, start: int, end: int, page_size: int) -> list[int]:
    """Return where huge pages are mapped in [start, end), in order. Preconditions: lock held."""
    # Whichever is fewer: the pages of the range, or those that are mapped.
    huge = mm.page_table.huge
    if (end - start) // page_size < len(huge):
        return [addr for addr in range(start, end, page_size) if addr in huge]
    return sorted(addr for addr in huge if start <= addr < end)
