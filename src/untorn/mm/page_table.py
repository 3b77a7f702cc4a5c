"""The page table: which pages of an address space are resident, and in which state.

A table has one byte for each of the 512 pages below one PMD. For a page that others may also map,
or whose frame number was asked for, it has the Page, too. So a page of private memory costs one
byte, and pages of the same kind are counted, set and cleared a whole table at a time.

A task for which a VMA is stable (it holds the VMA's read lock, or mmap_lock in any mode) may look
at the pages in its range and fault pages in. Pages are removed only where no other task can do so:
where the VMA is write-locked or detached. Advice is the exception. It removes pages of a VMA that
is only stable, and a page that is faulted in meanwhile may be removed or stay. VMAs share tables,
so each access holds PageTable.lock, for at most one table at a time.
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
"""The zero page: anonymous memory that was only read. It does not count as resident."""
ANON = 2
"""Anonymous memory of this process alone, without a Page. Without DIRTY, MADV_FREE gave it up."""
PAGE = 4
"""A Page, which is in PteTable.pages."""
DIRTY = 8
"""The page was written through this entry since it was mapped, or since MADV_FREE."""
GUARD = 16
"""There is no page, and every access fails: MADV_GUARD_INSTALL."""

_VALID = bytes((NONE, ZERO, ANON, ANON | DIRTY, PAGE, PAGE | DIRTY, GUARD))
_WITH_PAGE = bytes(pte for pte in range(256) if pte & PAGE)
_GUARDS_ONLY = bytes(pte & GUARD for pte in range(256))


class PteTable:
    """The entries below one PMD. Protected by the lock of its PageTable.

    Attributes:
        ptes: One byte for each page, made of the constants of this module.
        pages: The Page of each entry with PAGE, by index into ptes.
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
        """Let an entry map page. Preconditions: page.mapcount already counts the entry."""
        self.ptes[index] = bits
        self.pages[index] = page

    def give_pages(self, first: int, last: int) -> None:
        """Create a Page for each anonymous page of [first, last) that has none."""
        lock = sync.Mutex()
        for index in range(first, last):
            pte = self.ptes[index]
            if pte & ANON:
                self.set_page(index, Page(PageKind.ANON, lock, 1), PAGE | pte & DIRTY)

    def shared_in(self, first: int, last: int) -> list[tuple[int, Page]]:
        """Return index and Page of each entry with PAGE in [first, last)."""
        # Walk whichever are fewer: the entries of the range, or the Pages of the table.
        pages = self.pages
        if last - first < len(pages):
            return [(i, page) for i in range(first, last) if (page := pages.get(i))]
        return [(i, page) for i, page in pages.items() if first <= i < last]

    def clear(self, first: int, last: int, *, guards: bool = True) -> None:
        """Unmap [first, last). Keep guards unless guards is set."""
        # Update the Pages first, while the entries still have their dirty bits. Most tables have
        # only private pages without a Page.
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
    """The page table of one address space; see the module docstring.

    Attributes:
        lock: Protects huge, the tables and everything in them. The locks of pages and pools are
            taken under it.
        huge: The mapped pages of hugetlbfs, which are in no table, by their byte address.
    """

    __slots__ = ("_files", "_huge_inodes", "_tables", "huge", "lock")

    def __init__(self) -> None:
        self.lock = sync.Mutex()
        self._tables: dict[int, PteTable] = {}  # by address // PMD_SIZE; protected by lock
        # The files and inodes where this page table is registered; protected by lock.
        self._files: dict[AddressSpace, None] = {}
        self._huge_inodes: dict[HugeInode, None] = {}
        self.huge: dict[int, HugePage] = {}

    def parts(self, start: int, end: int) -> list[Part]:
        """Return the parts of [start, end), byte addresses, that have a table now.

        The caller takes the lock for each part. A table that has lost all its pages meanwhile is
        empty and no longer in use.
        """
        first, last = start // PMD_SIZE, (end - 1) // PMD_SIZE
        with self.lock:
            tables = self._tables
            # A range may span the whole address space, and there may be few tables. So walk
            # whichever are fewer: the possible tables of the range, or the existing ones.
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
        """Return the part of [start, end) in the table of start. Create the table if needed.

        Preconditions: lock held.
        """
        # A caller that maps nothing in it must call free_empty(): an empty table is not kept.
        number = start // PMD_SIZE
        table = self._tables.get(number)
        if table is None:
            table = self._tables[number] = PteTable()
        return _part(table, number, start, end)

    def clear(self, start: int, end: int, *, guards: bool = True) -> None:
        """Unmap [start, end). Preconditions: no fault can happen there, or the VMA is stable.

        Compare mm/memory.c:zap_pte_range().
        """
        # The lock is dropped between tables, so that faults elsewhere do not wait for the whole.
        for part in self.parts(start, end):
            with self.lock:
                part.table.clear(part.first, part.last, guards=guards)
                self.free_empty(part)

    def free_empty(self, part: Part) -> None:
        """Take the part's table out of use if it maps nothing. Preconditions: lock held."""
        number, table = part.addr // PMD_SIZE, part.table
        # Another table may be in its place by now: another task may have emptied it and taken it
        # out of use, and a fault may have created a new one.
        if table.is_empty and self._tables.get(number) is table:
            del self._tables[number]

    def maps_file(self, mapping: AddressSpace) -> None:
        """Register with the file whose pages are about to be mapped. Preconditions: lock held."""
        # AddressSpace.punch_hole() relies on this happening before the first page is looked up.
        if mapping not in self._files:
            self._files[mapping] = None
            mapping.add_table(self)

    def forget_files(self) -> None:
        """Unregister from all files. Preconditions: nothing is mapped, and nothing will be."""
        # The files' locks are taken under this one; see the lock order in mm/__init__.py.
        with self.lock:
            for mapping in self._files:
                mapping.remove_table(self)
            self._files.clear()
            for inode in self._huge_inodes:
                with inode.pool.lock:
                    del inode.tables[self]
            self._huge_inodes.clear()

    def maps_huge_inode(self, inode: HugeInode) -> None:
        """Register with the inode whose pages are about to be mapped.

        Preconditions: lock and inode.pool.lock held.
        """
        if inode not in self._huge_inodes:
            self._huge_inodes[inode] = inode.tables[self] = None

    def unmap_huge_pages(self, inode: HugeInode, gone: set[HugePage]) -> None:
        """Unmap these pages of an inode wherever this page table maps them."""
        with self.lock, inode.pool.lock:
            for addr in [addr for addr, page in self.huge.items() if page in gone]:
                self.huge.pop(addr).mapcount -= 1

    def unmap_pages(self, gone: set[Page]) -> None:
        """Unmap these pages wherever this page table maps them.

        Context: holds the lock throughout, so that no page can be moved past this search.
        """
        with self.lock:
            for number, table in list(self._tables.items()):
                for index in [i for i, page in table.pages.items() if page in gone]:
                    table.clear(index, index + 1)
                self.free_empty(_part(table, number, number * PMD_SIZE, (number + 1) * PMD_SIZE))

    def check_invariants(self, ranges: list[tuple[int, int]] | None) -> None:
        """Check each table, and that every page is within one of the ranges.

        Args:
            ranges: Start and end in bytes; None to skip that check.

        Raises:
            InvariantError: an entry is invalid, lacks its Page or has one too many, or is outside.
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
        # It is enough to count: if the tables have more entries than the ranges, one is outside.
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
        raise InvariantError(f"{where} has invalid entries: {sorted(set(table.ptes))}")
    found = PTRS_PER_PTE - len(table.ptes.translate(None, _WITH_PAGE))
    if found != len(table.pages) or not all(table.ptes[index] & PAGE for index in table.pages):
        raise InvariantError(f"{where} has entries and Pages that do not match")
    for index, page in table.pages.items():
        if page.mapcount < 1:
            raise InvariantError(f"{where} maps {page} at {index}")
