"""Which pages of an address space are resident, and how.

A table holds one byte for each of the 512 pages below one PMD, and, for the pages that others may
map too or whose frame was asked for, the Page. So a page of private memory costs a byte, and pages
of a kind are counted, filled and cleared a table at a time.

A task that keeps a VMA still (by its read lock, or mmap_lock in any mode) may look at the pages in
its range and fault some in. Pages go only where no other task can do that: the VMA is write-locked
or detached. Advice, which makes pages go too, keeps the VMA still itself: a page that is faulted in
at the same time may go or stay. Each look and each change holds PageTable.lock, for at most one
table at a time, because VMAs share tables.
"""

from collections.abc import Iterator
from typing import NamedTuple

from untorn.errors import InvariantError
from untorn.locking import sync
from untorn.maps.page import PAGE_SHIFT, PAGE_SIZE, PMD_SIZE
from untorn.mm.filemap import AddressSpace, Page, PageKind
from untorn.mm.hugetlb import HugeInode, HugePage

PTRS_PER_PTE = PMD_SIZE // PAGE_SIZE

NONE = 0
ZERO = 1
"""The zero page: anonymous memory that was only read. Not counted as resident."""
ANON = 2
"""Anonymous memory of this process alone, without a Page. Without DIRTY: given up by MADV_FREE."""
PAGE = 4
"""A Page of PteTable.pages."""
DIRTY = 8
"""Written through this entry since it was mapped, or since MADV_FREE."""
GUARD = 16
"""No page, and every access fails: MADV_GUARD_INSTALL."""

_VALID = bytes((NONE, ZERO, ANON, ANON | DIRTY, PAGE, PAGE | DIRTY, GUARD))
_WITH_PAGE = bytes(pte for pte in range(256) if pte & PAGE)
_GUARDS_ONLY = bytes(pte & GUARD for pte in range(256))


class PteTable:
    """The entries below one PMD. Protected by the lock of its PageTable.

    Attributes:
        ptes: One byte for each page: NONE or other constants of this module.
        pages: Index into ptes to the Page, for entries with PAGE.
    """

    __slots__ = ("pages", "ptes")

    def __init__(self) -> None:
        self.ptes = bytearray(PTRS_PER_PTE)
        self.pages: dict[int, Page] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing is mapped in it."""
        return self.ptes.count(NONE) == PTRS_PER_PTE

    def set_page(self, index: int, page: Page, bits: int = PAGE) -> None:
        """Let an entry map page, whose mapcount has it already."""
        self.ptes[index] = bits
        self.pages[index] = page

    def give_pages(self, first: int, last: int) -> None:
        """Give the anonymous memory of [first, last) its Pages, where it has none."""
        lock = sync.Mutex()
        for index in range(first, last):
            pte = self.ptes[index]
            if pte & ANON:
                self.set_page(index, Page(PageKind.ANON, lock, 1), PAGE | pte & DIRTY)

    def shared_in(self, first: int, last: int) -> list[tuple[int, Page]]:
        """Return index and Page of the entries with PAGE in [first, last)."""
        # Whichever is fewer: the entries of the range, or the Pages of the table.
        pages = self.pages
        if last - first < len(pages):
            return [(i, page) for i in range(first, last) if (page := pages.get(i))]
        return [(i, page) for i, page in pages.items() if first <= i < last]

    def clear(self, first: int, last: int, *, guards: bool = True) -> None:
        """Unmap [first, last); guards stay if they are not to go too."""
        # Counts first, while the entry can tell whether it was written through. Most tables have
        # only private pages, which are not counted.
        if self.pages:
            for index, page in self.shared_in(first, last):
                page.unmap(dirty=bool(self.ptes[index] & DIRTY))
                del self.pages[index]
        if guards:
            self.ptes[first:last] = bytes(last - first)
        else:
            self.ptes[first:last] = self.ptes[first:last].translate(_GUARDS_ONLY)


class Part(NamedTuple):
    """The part of a range that lies in one table."""

    table: PteTable
    first: int
    """Index of the first entry."""
    last: int
    """Index after the last entry."""
    addr: int
    """Byte address of the first entry."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is mapped in it."""
        return self.table.ptes.count(NONE, self.first, self.last) == self.last - self.first


class PageTable:
    """The page table of one address space; see the module.

    Attributes:
        lock: Protects the tables and everything in them, and huge. The locks of pages and pools
            are taken inside.
        huge: The pages of hugetlbfs, by the byte address where each begins; in no table.
    """

    __slots__ = ("_files", "_huge_inodes", "_tables", "huge", "lock")

    def __init__(self) -> None:
        self.lock = sync.Mutex()
        self._tables: dict[int, PteTable] = {}  # by address // PMD_SIZE; protected by lock
        self._files: dict[AddressSpace, None] = {}  # that know of this table; protected by lock
        self._huge_inodes: dict[HugeInode, None] = {}  # that do; protected by lock
        self.huge: dict[int, HugePage] = {}

    def parts(self, start: int, end: int) -> list[Part]:
        """Return the parts of [start, end), byte addresses, that have a table now.

        Look at each of them under the lock. A table that lost all its pages meanwhile is no longer
        in use, and empty.
        """
        first, last = start // PMD_SIZE, (end - 1) // PMD_SIZE
        with self.lock:
            tables = self._tables
            # A range may span the whole address space, and a table may be almost empty: walk
            # whichever is fewer, possible tables or existing ones.
            if last - first < len(tables):
                numbers: Iterator[int] = iter(range(first, last + 1))
            else:
                numbers = iter(sorted(tables))
            return [
                _part(table, number, start, end)
                for number in numbers
                if first <= number <= last and (table := tables.get(number)) is not None
            ]

    def part(self, start: int, end: int) -> Part:
        """Return the part of [start, end) in the table of start, made if there is none.

        Preconditions: lock held.
        """
        # A caller that puts nothing into it calls free_empty(): an empty table is not kept.
        number = start // PMD_SIZE
        table = self._tables.get(number)
        if table is None:
            table = self._tables[number] = PteTable()
        return _part(table, number, start, end)

    def clear(self, start: int, end: int, *, guards: bool = True) -> None:
        """Unmap [start, end). Preconditions: no fault can come in there, or the VMA is kept still.

        Compare mm/memory.c:zap_pte_range().
        """
        # The lock is dropped between tables, so that faults elsewhere need not wait for all of it.
        for part in self.parts(start, end):
            with self.lock:
                part.table.clear(part.first, part.last, guards=guards)
                self.free_empty(part)

    def free_empty(self, part: Part) -> None:
        """Take the part's table out of use if it maps nothing. Preconditions: lock held."""
        number, table = part.addr // PMD_SIZE, part.table
        # It may have been replaced since the part was taken: emptied and taken out of use by
        # another task, and made anew by a fault.
        if table.is_empty and self._tables.get(number) is table:
            del self._tables[number]

    def maps_file(self, mapping: AddressSpace) -> None:
        """Note that pages of mapping are about to be mapped here. Preconditions: lock held."""
        # Known before the first page is looked up: AddressSpace.punch_hole() relies on that.
        if mapping not in self._files:
            self._files[mapping] = None
            mapping.add_table(self)

    def forget_files(self) -> None:
        """Be no longer known to any file. Preconditions: nothing is mapped, nor will be."""
        # The files' locks are taken inside of ours; see the lock order in mm/__init__.py.
        with self.lock:
            for mapping in self._files:
                mapping.remove_table(self)
            self._files.clear()
            for inode in self._huge_inodes:
                with inode.pool.lock:
                    del inode.tables[self]
            self._huge_inodes.clear()

    def maps_huge_inode(self, inode: HugeInode) -> None:
        """Note that pages of inode are about to be mapped here. Preconditions: both locks held."""
        if inode not in self._huge_inodes:
            self._huge_inodes[inode] = inode.tables[self] = None

    def unmap_huge_pages(self, inode: HugeInode, gone: set[HugePage]) -> None:
        """Unmap these pages of an inode wherever they are mapped."""
        with self.lock, inode.pool.lock:
            for addr in [addr for addr, page in self.huge.items() if page in gone]:
                self.huge.pop(addr).mapcount -= 1

    def unmap_pages(self, gone: set[Page]) -> None:
        """Unmap these pages wherever they are mapped.

        Context: holds the lock throughout, so that none is moved past this look.
        """
        with self.lock:
            for number, table in list(self._tables.items()):
                for index in [i for i, page in table.pages.items() if page in gone]:
                    table.clear(index, index + 1)
                self.free_empty(_part(table, number, number * PMD_SIZE, (number + 1) * PMD_SIZE))

    def check_invariants(self, ranges: list[tuple[int, int]] | None) -> None:
        """Check the tables in themselves, and that all pages lie in ranges of byte addresses.

        Raises:
            InvariantError: an entry is wrong, has a Page too few or too many, or lies elsewhere.
        """
        with self.lock:
            for number, table in self._tables.items():
                _check_table(number, table)
            mapped = sum(PTRS_PER_PTE - t.ptes.count(NONE) for t in self._tables.values())
            huge = list(self.huge)
        if ranges is None:
            return
        for addr in huge:
            if not any(start <= addr < end for start, end in ranges):
                raise InvariantError(f"a huge page is mapped at {addr:x}, outside of all VMAs")
        # Entries are counted, not found: if the tables hold more than lies inside of VMAs, some
        # entry lies outside.
        inside = sum(
            part.last - part.first - part.table.ptes.count(NONE, part.first, part.last)
            for start, end in ranges
            for part in self.parts(start, end)
        )
        if inside != mapped:
            raise InvariantError(f"{mapped} pages are mapped, {inside} of them inside VMAs")


def _part(table: PteTable, number: int, start: int, end: int) -> Part:
    base = number * PMD_SIZE
    first, last = max(start, base), min(end, base + PMD_SIZE)
    return Part(table, first - base >> PAGE_SHIFT, last - base >> PAGE_SHIFT, first)


def _check_table(number: int, table: PteTable) -> None:
    where = f"the table at {number * PMD_SIZE:x}"
    if len(table.ptes) != PTRS_PER_PTE or table.ptes.translate(None, _VALID):
        raise InvariantError(f"{where} has entries that are none: {sorted(set(table.ptes))}")
    found = PTRS_PER_PTE - len(table.ptes.translate(None, _WITH_PAGE))
    if found != len(table.pages) or not all(table.ptes[index] & PAGE for index in table.pages):
        raise InvariantError(f"{where} has entries and Pages that do not match")
    for index, page in table.pages.items():
        if page.mapcount < 1:
            raise InvariantError(f"{where} maps {page} at {index}")
