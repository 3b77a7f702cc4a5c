"""Pools of huge pages, and the inodes of hugetlbfs that take their pages from them.

Some free pages of a pool are reserved for a mapping that has not touched them yet. mmap fails if it
cannot reserve the pages of the mapping, so a later access never has to. A mapping with
MAP_NORESERVE reserves nothing: an access for which no page is left gets SIGBUS.

The reservations of a shared mapping belong to the inode: its resv_map lists the pages that are
reserved or in use. Those of a private mapping belong to the VMA: its resv_map lists the pages whose
reservation is used up. Compare mm/hugetlb.c and fs/hugetlbfs/inode.c. The model is a machine with
one NUMA node.
"""

from itertools import count
from typing import Protocol

from untorn.locking import sync
from untorn.maps.fields import Device
from untorn.maps.page import PMD_SIZE, PUD_SIZE

_DEVICE, _GIGANTIC_DEVICE = Device(0, 15), Device(0, 16)
_inodes = count(1)  # next() of a count is atomic on every build


class HugePage:
    """A huge page in use. Protected by the lock of its pool.

    Attributes:
        mapcount: How many entries of all processes map it. May be read without the lock.
        inode: The inode whose page cache it is in; None if it belongs to a private mapping.
        dirty: It belongs to a private mapping and was written. May be read without the lock.
        restore_reserve: Whether it becomes a reserved page again when it is freed.
    """

    __slots__ = ("dirty", "inode", "mapcount", "restore_reserve")

    def __init__(self, inode: "HugeInode | None") -> None:
        self.inode = inode
        self.mapcount = 0
        self.dirty = False
        self.restore_reserve = False


class HugePool:
    """The huge pages of one size that a machine has. Compare struct hstate.

    Attributes:
        lock: Protects the counters here, the pages in use, the resv_map of inodes and of VMAs, and
            HugeInode. Innermost.
        page_size: Bytes.
        device: The device of the kernel's internal mount, which holds the files of MAP_HUGETLB.
        nr: Pages of the pool, in use or free.
        free: Free pages, reserved or not.
        resv: Pages that are reserved and not in use yet.
        surplus: Pages beyond the configured size of the pool. They leave it when they are freed.
        overcommit: The largest allowed surplus. Source: vm.nr_overcommit_hugepages.
    """

    __slots__ = ("device", "free", "lock", "nr", "overcommit", "page_size", "resv", "surplus")

    def __init__(
        self,
        page_size: int = PMD_SIZE,
        nr: int = 0,
        *,
        overcommit: int = 0,
        resv: int = 0,
        device: Device = _DEVICE,
    ) -> None:
        self.lock = sync.Mutex()
        self.page_size = page_size
        self.device = device
        self.nr = self.free = nr
        self.resv = resv
        self.surplus = 0
        self.overcommit = overcommit

    def counts(self) -> dict[str, int]:
        """Return the counters of /sys/kernel/mm/hugepages, by the names of the files there."""
        with self.lock:
            return {
                "nr_hugepages": self.nr,
                "free_hugepages": self.free,
                "resv_hugepages": self.resv,
                "surplus_hugepages": self.surplus,
            }

    def reserve(self, pages: int) -> bool:
        """Reserve pages, adding surplus pages if too few are free. Return whether that worked.

        Preconditions: lock held. Compare hugetlb_acct_memory(), gather_surplus_pages().
        """
        needed = max(self.resv + pages - self.free, 0)
        if needed and not self._may_add(needed):
            return False
        self.nr += needed
        self.free += needed
        self.surplus += needed
        self.resv += pages
        return True

    def unreserve(self, pages: int) -> None:
        """Drop a reservation. Preconditions: lock held. Compare return_unused_surplus_pages()."""
        self.resv -= pages
        leaving = min(pages, self.surplus, self.free)
        self.nr -= leaving
        self.free -= leaving
        self.surplus -= leaving

    def alloc(self, inode: "HugeInode | None", *, reserved: bool) -> HugePage | None:
        """Take a reserved or an unreserved page into use and return it; None if there is none.

        Preconditions: lock held. Compare alloc_hugetlb_folio().
        """
        if self.free > (0 if reserved else self.resv):
            self.free -= 1
        elif self._may_add(1):
            self.nr += 1
            self.surplus += 1
        else:
            return None
        self.resv -= reserved
        return HugePage(inode)

    def put(self, page: HugePage) -> None:
        """Free a page that nothing maps. Preconditions: lock held. Compare free_huge_folio()."""
        self.resv += page.restore_reserve
        if self.surplus:
            self.nr -= 1
            self.surplus -= 1
        else:
            self.free += 1

    def _may_add(self, pages: int) -> bool:
        """Return whether the pool may grow by that many surplus pages. Gigantic pages never may."""
        return self.page_size < PUD_SIZE and self.surplus + pages <= self.overcommit


class MapsHugePages(Protocol):
    """A page table that may map pages of an inode, and unmaps those that the inode loses."""

    def unmap_huge_pages(self, inode: "HugeInode", gone: set[HugePage]) -> None:
        """Unmap these pages wherever the page table maps them."""


class HugeInode:
    """An inode of hugetlbfs, shared by all opens of it. pool.lock protects what can change.

    Attributes:
        pool: The pool that its pages come from.
        number: The inode number, as stat(2) gives it.
        pages: The page cache, indexed by huge page number in the file.
        resv_map: The numbers of the pages that are reserved or in use for shared mappings.
        users: How many VMAs and descriptors use it. At 0 its pages are freed.
        tables: The page tables that may map its pages.
    """

    __slots__ = ("number", "pages", "pool", "resv_map", "tables", "users")

    def __init__(self, pool: HugePool, users: int = 0) -> None:
        self.pool = pool
        self.number = next(_inodes)
        self.pages: dict[int, HugePage] = {}
        self.resv_map: set[int] = set()
        self.users = users
        self.tables: dict[MapsHugePages, None] = {}

    def get(self) -> None:
        """Count one more user."""
        with self.pool.lock:
            self.users += 1

    def release(self) -> None:
        """Count one user less. Compare hugetlbfs_evict_inode()."""
        with self.pool.lock:
            self.users -= 1
            if not self.users:
                self._evict()

    def reserve(self, first: int, last: int) -> bool:
        """Reserve those pages of [first, last) that are not yet, for a shared mapping.

        Preconditions: pool.lock held.
        """
        # Only counted here and not yet listed: a range may be far longer than any pool.
        noted = sum(first <= index < last for index in self.resv_map)
        if not self.pool.reserve(last - first - noted):
            return False
        self.resv_map.update(range(first, last))
        return True

    def punch_hole(self, first: int, last: int) -> None:
        """Drop pages [first, last), mapped or not, and the reservations of those in use.

        Copies made by private mappings stay. Compare hugetlbfs_punch_hole().
        """
        with self.pool.lock:
            found = [index for index in self.pages if first <= index < last]
            gone = {self.pages.pop(index) for index in found}
            self.resv_map.difference_update(found)
            tables = list(self.tables)
        # From here on no fault finds one of them, and no fork copies one: see copy_huge_pages().
        # The lock of a page table comes before that of the pool, so the pool's was dropped first.
        for table in tables:
            table.unmap_huge_pages(self, gone)
        with self.pool.lock:
            for page in gone:
                self.pool.put(page)

    def _evict(self) -> None:
        for page in self.pages.values():
            self.pool.put(page)
        self.pool.unreserve(len(self.resv_map) - len(self.pages))
        self.pages.clear()
        self.resv_map.clear()


def empty_pools() -> dict[int, HugePool]:
    """Return the pools of x86-64 by page size in bytes, empty as they are at boot."""
    return {PMD_SIZE: HugePool(), PUD_SIZE: HugePool(PUD_SIZE, device=_GIGANTIC_DEVICE)}
