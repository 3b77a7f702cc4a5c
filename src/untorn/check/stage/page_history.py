"""The ghost history of pages: their map counts, as seen by a task that holds mmap_lock.

It is kept from outside, like that of the map. Entries change under mutexes, so a look after each
release, and after each store of a count, misses nothing. Changes of a write section count when that
ends.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from untorn.check.stage.pages import addr
from untorn.check.stage.published import Published
from untorn.maps.page import PAGE_SHIFT, PMD_SIZE
from untorn.maps.pagemap import ENTRY_SIZE, PM_MMAP_EXCLUSIVE, PM_PRESENT
from untorn.mm.mm_types import MmStruct
from untorn.mm.page_table import ANON, PAGE, ZERO

PageState = tuple[int, ...] | None
"""The map count of each page in turn, MANY for more than one; None without a process."""
MANY = 2


@dataclass(slots=True)
class PageHistory(Published[PageState]):
    """The published states of some pages of one process's mm in one run."""

    mm: MmStruct
    pages: range

    def __post_init__(self) -> None:
        """Note the first state."""
        self.publish(-1, self._state)

    def look(self) -> None:
        """Note the current state, unless a write section is under way."""
        self.note(lambda: self.states[-1] if self.mm.mm_lock_seq & 1 else self._state())

    def gone(self) -> None:
        """Note that the last user of the mm is gone."""
        self.note(lambda: None)

    def of(self, first: int, end: int, version: int) -> PageState:
        """Return a version's part for pages [first, end)."""
        state = self.states[version]
        return None if state is None else state[first - self.pages.start : end - self.pages.start]

    def _state(self) -> PageState:
        if self.mm.mm_users.load() == 0:
            return None
        return tuple(map(self._times_mapped, self.pages))

    def _times_mapped(self, page: int) -> int:
        address = addr(page)
        slot = self.mm.mm_mt.find_slot(address)
        table = self.mm.page_table._tables.get(address // PMD_SIZE)
        if slot is None or slot[0] > address or table is None:
            return 0
        index = address % PMD_SIZE >> PAGE_SHIFT
        pte = table.ptes[index]
        if pte & PAGE:
            return min(table.pages[index].mapcount, MANY)
        return MANY if pte == ZERO else int(pte & ANON != 0)


def counts_of(text: bytes) -> PageState:
    """Return the state that a read() of pagemap shows; None if it returned nothing."""
    entries = struct.unpack(f"<{len(text) // ENTRY_SIZE}Q", text)
    return tuple(map(_count_of, entries)) or None


def _count_of(entry: int) -> int:
    if not entry & PM_PRESENT:
        return 0
    return 1 if entry & PM_MMAP_EXCLUSIVE else MANY


def slices(first: int, end: int) -> list[tuple[int, int]]:
    """Return the parts of pages [first, end), each below one PMD."""
    borders = [page for page in range(first + 1, end) if addr(page) % PMD_SIZE == 0]
    return list(pairwise((first, *borders, end)))


def is_of(found: PageState, states: Sequence[PageState]) -> bool:
    """Return whether a slice is possible if these were the states while it was read.

    The set of present pages must be that of one state: then no present page is left out, no absent
    one shown, and a moving page is shown at one place. Map counts may be of another state: other
    processes unmap pages without our locks.
    """
    living = [state for state in states if state is not None]
    if found is None:
        return len(living) < len(states)
    there = [tuple(map(bool, state)) for state in living]
    counts = zip(found, *living, strict=True)
    return tuple(map(bool, found)) in there and all(count in of for count, *of in counts)
