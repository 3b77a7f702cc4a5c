"""Page cache: the pages of a file, common to all that map it, and what is counted of each.

A file that lies on a disk is wholly in the page cache here; of a file that lives in memory only
those pages exist that were used. Compare mm/filemap.c and mm/shmem.c.
"""

from enum import Enum
from typing import Protocol

from untorn.locking import sync
from untorn.mm.committed import CommittedFile
from untorn.mm.mempolicy import Mempolicy


class PageKind(Enum):
    """Where the contents of a page come from."""

    ANON = "anonymous memory that a fork made common, or whose frame was asked for"
    FILE = "a file on a disk"
    SHMEM = "a file in memory: tmpfs, memfd, shared anonymous memory"


class Page:
    """A page that several page table entries may map. Compare struct page, struct folio.

    Attributes:
        kind: Set at the start.
        lock: Protects mapcount and dirty; shared by the pages of one file, or by those of
            anonymous memory that were made together.
        mapcount: Entries, of all processes, that map it. May be read without the lock.
        dirty: It was written, and not written back. May be read without the lock.
        pfn: Number of its frame; 0 until that was asked for. Protected by MemMap's lock.
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
        """Count one entry less; return how many there were. What it had written stays known."""
        with self.lock:
            self.mapcount -= 1
            # The entry is gone after this, and with it what it knew of writes.
            self.dirty = self.dirty or (dirty and self.kind is not PageKind.ANON)
            return self.mapcount + 1

    def __repr__(self) -> str:
        return f"<Page {self.kind.name}, mapped {self.mapcount} times>"


class MapsPages(Protocol):
    """What may map pages of a file, and lets go of those that the file loses: a page table."""

    def unmap_pages(self, gone: set[Page]) -> None:
        """Unmap these pages wherever they are mapped."""


class AddressSpace:
    """The page cache of one inode, for all opens of it. Compare struct address_space.

    Attributes:
        kind: FILE or SHMEM.
        lock: Protects the pages' mapcount and dirty, which pages and page tables there are, and the
            memory policies. Innermost.
        committed: What is promised for its size, or None. Set before another task knows of it.
    """

    __slots__ = ("_pages", "_policies", "_tables", "committed", "kind", "lock")

    def __init__(self, *, shmem: bool = False) -> None:
        self.kind = PageKind.SHMEM if shmem else PageKind.FILE
        self.lock = sync.Mutex()
        self.committed: CommittedFile | None = None
        self._pages: dict[int, Page] = {}  # by page number in the file; protected by lock
        self._tables: dict[MapsPages, None] = {}  # that may map pages; protected by lock
        # From page to page, in order; protected by lock. Of files in memory.
        self._policies: list[tuple[int, int, Mempolicy]] = []

    def page(self, index: int) -> Page:
        """Return page number index; bring it in if it is not there."""
        with self.lock:
            return self._bring_in(index)

    def is_cached(self, index: int) -> bool:
        """Say whether page number index is there without being brought in."""
        with self.lock:
            return self.kind is PageKind.FILE or index in self._pages

    def map_cached(self, first: int, last: int) -> list[tuple[int, Page]]:
        """Count one more entry for each page of [first, last) that is in the cache; return them."""
        with self.lock:
            # A file on a disk is cached as a whole; its Pages are made as they are asked for.
            if self.kind is PageKind.FILE:
                found = [(index, self._bring_in(index)) for index in range(first, last)]
            else:
                found = [(i, page) for i in range(first, last) if (page := self._pages.get(i))]
            # Counted in this section, before any of them can be let go of. These pages share the
            # lock that is held here.
            for _, page in found:
                page.mapcount += 1
            return found

    def set_dirty(self, first: int, last: int) -> None:
        """Make pages [first, last) dirty, as write(2) does."""
        with self.lock:
            for index in range(first, last):
                self._bring_in(index).dirty = True

    def write_back(self) -> None:
        """Bring what was written to the disk, if there is one. Compare mm/page-writeback.c."""
        if self.kind is PageKind.FILE:
            with self.lock:
                for page in self._pages.values():
                    page.dirty = False

    def add_table(self, table: MapsPages) -> None:
        """Know of a page table that is about to map pages of the file."""
        with self.lock:
            self._tables[table] = None

    def remove_table(self, table: MapsPages) -> None:
        """Know no longer of a page table, which maps none."""
        with self.lock:
            del self._tables[table]

    def punch_hole(self, first: int, last: int) -> None:
        """Let pages [first, last) go, mapped or not. Compare mm/truncate.c.

        A fault that looked a page up before it went had made its page table known here first, and
        it maps the page in the same section of that table's lock. So each such table is met
        below. So is the copy that a fork makes of it, which is known before it is made.
        """
        with self.lock:
            found = [index for index in self._pages if first <= index < last]
            # From here on a lookup brings in a new page, and does not find these.
            gone = {self._pages.pop(index) for index in found}
            tables = list(self._tables)
        # This lock is innermost, so it is dropped for each table's own. Meanwhile a fork may copy a
        # table, page and all: go on until no table is left that was not met.
        met: set[MapsPages] = set()
        while tables:
            for table in tables:
                table.unmap_pages(gone)
            met.update(tables)
            with self.lock:
                tables = [table for table in self._tables if table not in met]

    def forget_clean(self, index: int) -> None:
        """Let a page of memory go that was never written: it is all zeros anyway."""
        with self.lock:
            # Map counts change under this lock, so an unmapped page stays so while it is dropped.
            page = self._pages.get(index)
            if page is not None and page.mapcount == 0 and not page.dirty:
                del self._pages[index]

    def set_policy(self, first: int, last: int, policy: Mempolicy | None) -> None:
        """Give pages [first, last) a memory policy. Compare mm/mempolicy.c:shared_policy_replace().

        Context: it is kept as long as the inode, whoever maps it.
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
        """Give all pages the default policy; return which had another one, from page to page."""
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
