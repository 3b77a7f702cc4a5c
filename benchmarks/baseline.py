"""The simplest implementation: a dict and a sorted list of starts, under one lock.

It has no merges, splits or limits, and only one permission. A reader blocks every writer while it
makes the whole text.
"""

import threading

from sortedcontainers import SortedList

from untorn.maps.page import PAGE_SIZE


class LockedMap:
    """Ranges of one page."""

    name = "plain"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._starts = SortedList()  # protected by _lock, as is _ends
        self._ends: dict[int, int] = {}

    def map(self, addr: int) -> None:
        """Map one page where nothing is mapped."""
        with self._lock:
            self._starts.add(addr)
            self._ends[addr] = addr + PAGE_SIZE

    def unmap(self, addr: int) -> None:
        """Unmap a range that starts there."""
        with self._lock:
            self._starts.remove(addr)
            del self._ends[addr]

    def find(self, addr: int) -> tuple[int, int] | None:
        """Return the range that holds addr."""
        with self._lock:
            i = self._starts.bisect_right(addr) - 1
            if i < 0:
                return None
            start = self._starts[i]
            end = self._ends[start]
            return (start, end) if addr < end else None

    def lock(self, addr: int) -> None:
        """Find the range: the lock is held only for that."""
        self.find(addr)

    def read(self) -> None:
        """Produce all lines at once."""
        with self._lock:
            lines = [
                b"%08x-%08x rw-p 00000000 00:00 0 \n" % (start, self._ends[start])
                for start in self._starts
            ]
            b"".join(lines)
