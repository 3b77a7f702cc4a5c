"""The page frames of the machine: from page to frame number, and back.

Linux has a struct page for each frame. Here a Page gets a frame when its number is first asked for;
before that, no reader can have seen the number. Compare mm/sparse.c, pfn_to_page().
"""

from weakref import WeakValueDictionary

from untorn.locking import sync
from untorn.mm.filemap import Page

ZERO_PFN = 1
"""The frame of the zero page."""


class MemMap:
    """All frames that were ever in use."""

    __slots__ = ("_lock", "_next", "_pages")

    def __init__(self) -> None:
        self._lock = sync.Mutex()
        # _lock protects the next two. An entry whose Page was collected and an entry whose Page is
        # no longer mapped give the same answers, so it does not matter when an entry is removed.
        self._next = ZERO_PFN + 1
        self._pages: WeakValueDictionary[int, Page] = WeakValueDictionary()

    def pfn(self, page: Page) -> int:
        """Return the page's frame number. It never changes, and no other page ever gets it."""
        with self._lock:
            if page.pfn == 0:
                page.pfn = self._next
                self._pages[self._next] = page
                self._next += 1
            return page.pfn

    def max_pfn(self) -> int:
        """Return the lowest frame number that is not in use and never was."""
        with self._lock:
            return self._next

    def page(self, pfn: int) -> Page | None:
        """Return the page in a frame; None if it is gone, or not a page of an address space."""
        with self._lock:
            return self._pages.get(pfn)


mem_map = MemMap()
