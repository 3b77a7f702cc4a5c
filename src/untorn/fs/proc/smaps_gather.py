"""Add up the pages of a VMA for smaps.

Compare fs/proc/task_mmu.c:smap_gather_stats(), smaps_account(), smaps_page_accumulate().
"""

from dataclasses import dataclass

from untorn.locking import lockdep
from untorn.maps.page import PAGE_SIZE
from untorn.mm.filemap import PageKind
from untorn.mm.mm_types import Vma, vma_kernel_pagesize
from untorn.mm.mman import VM_HUGETLB, VM_LOCKED
from untorn.mm.page_table import ANON, DIRTY, Part
from untorn.mm.pages.hugetlb_fault import huge_pages_in

PSS_SHIFT = 12
"""How many bits of a proportional share are after the binary point, so that shares can add up."""
_WHOLE = PAGE_SIZE << PSS_SHIFT


@dataclass(slots=True)
class MemSizeStats:
    """Sums over pages in bytes, those of Pss shifted by PSS_SHIFT.

    Owned by the task that adds them up. Compare struct mem_size_stats.
    """

    resident: int = 0
    shared_clean: int = 0
    shared_dirty: int = 0
    private_clean: int = 0
    private_dirty: int = 0
    anonymous: int = 0
    lazyfree: int = 0
    pss: int = 0
    pss_dirty: int = 0
    pss_anon: int = 0
    pss_file: int = 0
    pss_shmem: int = 0
    pss_locked: int = 0
    shared_hugetlb: int = 0
    private_hugetlb: int = 0


def smap_gather_stats(mss: MemSizeStats, vma: Vma, start: int) -> None:
    """Add the pages of vma from byte address start on.

    Preconditions: vma stable: read-locked, or mmap_lock held; RCU not held.

    Context: takes the page table's lock for one table at a time.
    """
    if lockdep.on:
        lockdep.might_sleep("a page walk")
    page_table = vma.vm_mm.page_table
    if vma.vm_flags & VM_HUGETLB:
        _add_huge(mss, vma, start)
        return
    pss_before = mss.pss
    for part in page_table.parts(start, vma.vm_end):
        with page_table.lock:
            _add_own(mss, part)
            if part.table.pages:
                _add_shared(mss, part)
    if vma.vm_flags & VM_LOCKED:
        mss.pss_locked += mss.pss - pss_before


def _add_huge(mss: MemSizeStats, vma: Vma, start: int) -> None:
    """Add huge pages, which count in no other field. Compare smaps_hugetlb_range()."""
    size = vma_kernel_pagesize(vma)
    counts = [page.mapcount for page in huge_pages_in(vma, start, vma.vm_end)]
    shared = sum(mapcount > 1 for mapcount in counts)
    mss.shared_hugetlb += shared * size
    mss.private_hugetlb += (len(counts) - shared) * size


def _add_own(mss: MemSizeStats, part: Part) -> None:
    """Add the anonymous pages without a Page, which no other process maps, all at once."""
    table, first, last, _ = part
    clean = table.ptes.count(ANON, first, last) * PAGE_SIZE
    dirty = table.ptes.count(ANON | DIRTY, first, last) * PAGE_SIZE
    size = clean + dirty
    mss.resident += size
    mss.anonymous += size
    mss.lazyfree += clean
    mss.private_clean += clean
    mss.private_dirty += dirty
    mss.pss += size << PSS_SHIFT
    mss.pss_anon += size << PSS_SHIFT
    mss.pss_dirty += dirty << PSS_SHIFT


def _add_shared(mss: MemSizeStats, part: Part) -> None:
    """Add the pages with a Page, which others may map, too. Add equal ones at once."""
    table, first, last, _ = part
    alike: dict[tuple[PageKind, int, bool], int] = {}
    for index, page in table.shared_in(first, last):
        key = page.kind, page.mapcount, page.dirty or table.ptes[index] & DIRTY != 0
        alike[key] = alike.get(key, 0) + 1
    for (kind, mapcount, dirty), pages in alike.items():
        pss = pages * (_WHOLE // max(mapcount, 1))
        mss.resident += pages * PAGE_SIZE
        mss.pss += pss
        mss.pss_dirty += pss if dirty else 0
        _add_kind(mss, kind, pages * PAGE_SIZE, pss, dirty)
        _add_state(mss, pages * PAGE_SIZE, shared=mapcount > 1, dirty=dirty)


def _add_kind(mss: MemSizeStats, kind: PageKind, size: int, pss: int, dirty: bool) -> None:
    if kind is PageKind.ANON:
        mss.anonymous += size
        mss.pss_anon += pss
        mss.lazyfree += 0 if dirty else size
    elif kind is PageKind.SHMEM:
        mss.pss_shmem += pss
    else:
        mss.pss_file += pss


def _add_state(mss: MemSizeStats, size: int, *, shared: bool, dirty: bool) -> None:
    if shared and dirty:
        mss.shared_dirty += size
    elif shared:
        mss.shared_clean += size
    elif dirty:
        mss.private_dirty += size
    else:
        mss.private_clean += size
