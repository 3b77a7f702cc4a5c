"""The frames of the machine: the number of a page, and the page of a number.

Linux has a struct page for each frame. Here a Page takes a frame when its number is asked for the
first time, which until then nobody can have seen. Compare mm/sparse.c, pfn_to_page().
"""

from weakref import WeakValueDictionary

from untorn.locking import sync
from untorn.mm.filemap import Page

ZERO_PFN = 1
"""The frame of the zero page."""


class MemMap:
    """All frames that were ever taken."""

    __slots__ = ("_lock", "_next", "_pages")

    def __init__(self) -> None:
        self._lock = sync.Mutex()
        # The next two are protected by _lock. A page that is gone is mapped by nobody, as one is
        # that nobody maps any more: so no answer depends on when its entry is taken out.
        self._next = ZERO_PFN + 1
        self._pages: WeakValueDictionary[int, Page] = WeakValueDictionary()

    def pfn(self, page: Page) -> int:
        """Return the number of the page's frame; it never changes, and no other page gets it."""
        with self._lock:
            if page.pfn == 0:
                page.pfn = self._next
                self._pages[self._next] = page
                self._next += 1
            return page.pfn

    def max_pfn(self) -> int:
        """Return the first number that no frame has."""
        with self._lock:
            return self._next

    def page(self, pfn: int) -> Page | None:
        """Return the page in a frame; None if it is gone, or none of an address space."""
        with self._lock:
            return self._pages.get(pfn)


mem_map = MemMap()
