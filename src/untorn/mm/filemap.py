"""The page cache: the pages of a file, which all its mappings share, and their counters.

Here a file on a disk is always cached as a whole. Of a file in memory, only the pages that were
used exist. Compare mm/filemap.c and mm/shmem.c.
"""

from enum import Enum
from typing import Protocol

from untorn.locking import sync
from untorn.mm.committed import CommittedFile
from untorn.mm.mempolicy import Mempolicy


class PageKind(Enum):
    """Where the contents of a page come from."""

    ANON = "anonymous memory that a fork shares, or whose frame number was asked for"
    FILE = "a file on a disk"
    SHMEM = "a file in memory: tmpfs, memfd, shared anonymous memory"


class Page:
    """A page that several page table entries may map. Compare struct page, struct folio.

    Attributes:
        kind: Set once, in __init__().
        lock: Protects mapcount and dirty. The pages of one file share one lock, and so do
            anonymous pages that were created together.
        mapcount: How many entries of all processes map it. May be read without the lock.
        dirty: It was written and not written back. May be read without the lock.
        pfn: The number of its frame; 0 until that is asked for. Protected by MemMap's lock.
    """

    __slots__ = ("__weakref__", "dirty", "kind", "lock", "mapcount", "pfn")

    def __init__(self, kind: PageKind, lock: sync.Mutex, mapcount: int = 0) -> None:
        self.kind = kind
        self.lock = lock
        self.mapcount = mapcount
        self.dirty = False
        self.pfn = 0

    def map(self) -> None:
        """Count one more entry."""
        with self.lock:
            self.mapcount += 1

    def unmap(self, *, dirty: bool) -> int:
        """Count one entry less, keep its dirty bit, and return how many entries there were."""
        with self.lock:
            self.mapcount -= 1
            # The entry goes away after this, and its dirty bit would be lost with it.
            self.dirty = self.dirty or (dirty and self.kind is not PageKind.ANON)
            return self.mapcount + 1

    def __repr__(self) -> str:
        return f"<Page {self.kind.name}, mapped {self.mapcount} times>"


class MapsPages(Protocol):
    """A page table that may map pages of a file, and unmaps those that the file loses."""

    def unmap_pages(self, gone: set[Page]) -> None:
        """Unmap these pages wherever the page table maps them."""


class AddressSpace:
    """The page cache of one inode, for all opens of it. Compare struct address_space.

    Attributes:
        kind: FILE or SHMEM.
        lock: Protects mapcount and dirty of the pages, the sets of pages and page tables, and the
            memory policies. Innermost.
        committed: The commitment for its size, or None. Set before another task can see the file.
    """

    __slots__ = ("_pages", "_policies", "_tables", "committed", "kind", "lock")

    def __init__(self, *, shmem: bool = False) -> None:
        self.kind = PageKind.SHMEM if shmem else PageKind.FILE
        self.lock = sync.Mutex()
        self.committed: CommittedFile | None = None
        self._pages: dict[int, Page] = {}  # by page number in the file; protected by lock
        self._tables: dict[MapsPages, None] = {}  # tables that may map pages; protected by lock
        # Page ranges in order, with their policies; only for a file in memory. Protected by lock.
        self._policies: list[tuple[int, int, Mempolicy]] = []

    def page(self, index: int) -> Page:
        """Return page number index; read it in if it is not cached."""
        with self.lock:
            return self._bring_in(index)

    def is_cached(self, index: int) -> bool:
        """Return whether page number index is cached already."""
        with self.lock:
            return self.kind is PageKind.FILE or index in self._pages

    def map_cached(self, first: int, last: int) -> list[tuple[int, Page]]:
        """Count one more entry for each cached page of [first, last), and return these pages."""
        with self.lock:
            # A file on a disk is cached as a whole; its Page objects are created on first use.
            if self.kind is PageKind.FILE:
                found = [(index, self._bring_in(index)) for index in range(first, last)]
            else:
                found = [(i, page) for i in range(first, last) if (page := self._pages.get(i))]
            # Counted under the same hold of the lock, before any of them can be dropped. The pages
            # of a file share this lock.
            for _, page in found:
                page.mapcount += 1
            return found

    def set_dirty(self, first: int, last: int) -> None:
        """Make pages [first, last) dirty, as write(2) does."""
        with self.lock:
            for index in range(first, last):
                self._bring_in(index).dirty = True

    def write_back(self) -> None:
        """Clear dirty on all pages if the file is on a disk. Compare mm/page-writeback.c."""
        if self.kind is PageKind.FILE:
            with self.lock:
                for page in self._pages.values():
                    page.dirty = False

    def add_table(self, table: MapsPages) -> None:
        """Register a page table that is about to map pages of the file."""
        with self.lock:
            self._tables[table] = None

    def remove_table(self, table: MapsPages) -> None:
        """Remove a page table that maps no page of the file any more."""
        with self.lock:
            del self._tables[table]

    def punch_hole(self, first: int, last: int) -> None:
        """Drop pages [first, last), mapped or not. Compare mm/truncate.c.

        No page stays mapped. A fault registers its page table here before it looks up a page, and
        it looks up and maps the page under one hold of that table's lock. So the loop below visits
        each table that could map a dropped page. It also visits the copies that a fork makes: they
        are registered before they get a page.
        """
        with self.lock:
            found = [index for index in self._pages if first <= index < last]
            # From here on a lookup no longer finds these pages and reads in new ones.
            gone = {self._pages.pop(index) for index in found}
            tables = list(self._tables)
        # This lock is innermost, so it is dropped before each table's lock is taken. Meanwhile a
        # fork may copy a table with its pages, so repeat until every table was visited.
        met: set[MapsPages] = set()
        while tables:
            for table in tables:
                table.unmap_pages(gone)
            met.update(tables)
            with self.lock:
                tables = [table for table in self._tables if table not in met]

    def forget_clean(self, index: int) -> None:
        """Drop a page that was never written: it is all zeros anyway."""
        with self.lock:
            # mapcount changes under this lock, so an unmapped page stays unmapped here.
            page = self._pages.get(index)
            if page is not None and page.mapcount == 0 and not page.dirty:
                del self._pages[index]

    def set_policy(self, first: int, last: int, policy: Mempolicy | None) -> None:
        """Give pages [first, last) a memory policy. Compare mm/mempolicy.c:shared_policy_replace().

        Context: the policy lasts as long as the inode, whoever maps it.
        """
        with self.lock:
            kept = [
                part
                for begin, end, other in self._policies
                for part in ((begin, min(end, first), other), (max(begin, last), end, other))
                if part[0] < part[1]
            ]
            new = [] if policy is None else [(first, last, policy)]
            self._policies = sorted(kept + new, key=lambda part: part[0])

    def forget_policies(self) -> list[tuple[int, int]]:
        """Give all pages the default policy. Return the page ranges that had another one."""
        with self.lock:
            had, self._policies = self._policies, []
            return [(first, last) for first, last, _ in had]

    def policy(self, index: int) -> Mempolicy | None:
        """Return the memory policy of page number index."""
        with self.lock:
            found = (policy for first, last, policy in self._policies if first <= index < last)
            return next(found, None)

    def _bring_in(self, index: int) -> Page:
        page = self._pages.get(index)
        if page is None:
            page = self._pages[index] = Page(self.kind, self.lock)
        return page
