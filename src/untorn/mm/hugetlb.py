"""Pools of huge pages, and inodes of hugetlbfs, whose pages are taken from them.

Of the free pages of a pool some are reserved: promised to a mapping that has not touched them yet.
To reserve is what mmap can fail by, so that no access has to. A mapping with MAP_NORESERVE takes
its chance: an access for which no page is left is a SIGBUS.

The reservations of a shared mapping belong to the inode, whose resv_map notes which of its pages
are reserved or in use; those of a private one to the VMA, whose resv_map notes which were used up.
Compare mm/hugetlb.c and fs/hugetlbfs/inode.c. A machine with one node is modelled.
"""

from itertools import count
from typing import Protocol

from untorn.locking import sync
from untorn.maps.fields import Device
from untorn.maps.page import PMD_SIZE, PUD_SIZE

_DEVICE, _GIGANTIC_DEVICE = Device(0, 15), Device(0, 16)
_inodes = count(1)  # next() of a count is one atomic step on every build


class HugePage:
    """A huge page in use. Protected by the lock of its pool.

    Attributes:
        mapcount: Entries, of all processes, that map it. May be read without the lock.
        inode: The inode whose page cache it is in; None if it is a private mapping's own.
        dirty: It is a private mapping's own, and was written. May be read without the lock.
        restore_reserve: Whether a reservation comes back when it is freed.
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
        lock: Protects what is counted here, the pages that are in use, the resv_map of inodes and
            of VMAs, and HugeInode. Innermost.
        page_size: Bytes.
        device: Of the kernel's own mount, on which the files of MAP_HUGETLB lie.
        nr: Pages of the pool, in use or free.
        free: Those that are free, reserved or not.
        resv: Pages that are reserved, and not in use yet.
        surplus: Pages beyond those that the pool was given: they leave it when they are freed.
        overcommit: The most that surplus may be. Source: vm.nr_overcommit_hugepages.
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
        """Return what /sys/kernel/mm/hugepages tells, by the names of the files there."""
        with self.lock:
            return {
                "nr_hugepages": self.nr,
                "free_hugepages": self.free,
                "resv_hugepages": self.resv,
                "surplus_hugepages": self.surplus,
            }

    def reserve(self, pages: int) -> bool:
        """Promise pages, with surplus ones if there are too few; say whether that can be done.

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
        """Take back a promise. Preconditions: lock held. Compare return_unused_surplus_pages()."""
        self.resv -= pages
        leaving = min(pages, self.surplus, self.free)
        self.nr -= leaving
        self.free -= leaving
        self.surplus -= leaving

    def alloc(self, inode: "HugeInode | None", *, reserved: bool) -> HugePage | None:
        """Take a page into use, one that is reserved or one that is not; None if there is none.

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
        """Say whether the pool may have more surplus pages: gigantic ones are never among them."""
        return self.page_size < PUD_SIZE and self.surplus + pages <= self.overcommit


class MapsHugePages(Protocol):
    """What may map pages of an inode, and lets go of those that it loses: a page table."""

    def unmap_huge_pages(self, inode: "HugeInode", gone: set[HugePage]) -> None:
        """Unmap these pages wherever they are mapped."""


class HugeInode:
    """An inode of hugetlbfs, for all opens of it; pool.lock protects all that changes.

    Attributes:
        pool: Where its pages come from.
        number: As stat(2) gives it.
        pages: The page cache, by the number of the huge page in the file.
        resv_map: Numbers of the pages that are reserved or in use for shared mappings.
        users: VMAs that map it, and descriptors; without any, its pages are freed.
        tables: Page tables that may map its pages.
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
        """Reserve what is missing of pages [first, last) for a shared mapping.

        Preconditions: pool.lock held.
        """
        # Counted before they are listed: a range may be far longer than any pool.
        noted = sum(first <= index < last for index in self.resv_map)
        if not self.pool.reserve(last - first - noted):
            return False
        self.resv_map.update(range(first, last))
        return True

    def punch_hole(self, first: int, last: int) -> None:
        """Let pages [first, last) go, mapped or not, with what was reserved for those in use.

        Copies that private mappings made stay. Compare hugetlbfs_punch_hole().
        """
        with self.pool.lock:
            found = [index for index in self.pages if first <= index < last]
            gone = {self.pages.pop(index) for index in found}
            self.resv_map.difference_update(found)
            tables = list(self.tables)
        # From here on no fault finds one of them, and no fork copies one: see copy_huge_pages().
        # The page tables' locks come before the pool's, so that is let go of.
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
    """Return the pools of x86-64, by the bytes of a page, as they are at boot: without pages."""
    return {PMD_SIZE: HugePool(), PUD_SIZE: HugePool(PUD_SIZE, device=_GIGANTIC_DEVICE)}
