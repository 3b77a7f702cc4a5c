"""Lockings: the ways to keep the VMAs of one fill still while their lines are written.

A reader is called by the name of its locking; the documentation calls a locking a strategy.

    mmap_lock   the whole fill under mmap_lock; Linux before 6.17
    vma_lock    one VMA lock at a time, and mmap_lock for a single lookup if a writer is in the way;
                Linux since 6.17
    rcu         a copy of each VMA, which is valid if no writer came in between; proposed for Linux,
                but never part of it

smaps and numa_maps also walk the page table of each VMA. The walk may sleep, and needs the VMA
itself and not a copy. Under mmap_lock it can do that (Linux up to 7.1), and under vma_lock too
(since 7.2) if it leaves RCU for the walk.

The code above uses only the protocol below. A locking context belongs to one fill or one ioctl call
at a time, so tasks never share it.

From the top down: mmap_lock, rcu, vma_lock.
"""

from typing import Protocol, runtime_checkable

from untorn.fs.proc.maps_locking.mmap_lock import MmapLocking
from untorn.fs.proc.maps_locking.rcu import RcuLocking
from untorn.fs.proc.maps_locking.vma_lock import VmaLocking
from untorn.mm.mm_types import MmStruct, Vma


class MapsLocking(Protocol):
    """A locking context for one mm."""

    def __init__(self, mm: MmStruct) -> None:
        """Start at the beginning of mm. Hold nothing yet."""

    def lock_vma_range(self) -> None:
        """Begin a fill or a query. Raise OSError EINTR, and hold nothing, if the task is killed."""

    def vma_iter_set(self, addr: int) -> None:
        """Continue from byte address addr."""

    def get_next_vma(self, from_addr: int) -> Vma | None:
        """Release the VMA returned before, and return the next one, which is kept still.

        Args:
            from_addr: The position of the walk: the end of the VMA returned before, or the address
                given to vma_iter_set().

        Raises:
            OSError: EINTR if the task is killed while it waits for a writer.
        """

    def unlock_vma_range(self) -> None:
        """Release everything."""

    def statistics(self) -> dict[str, int]:
        """Return how often writers got in the way of this context, by kind."""


@runtime_checkable
class PageWalkLocking(MapsLocking, Protocol):
    """A locking context that also allows page table walks."""

    def begin_page_walk(self) -> None:
        """Leave RCU if it is held. The VMA returned last is still kept still."""

    def end_page_walk(self, vma: Vma) -> None:
        """Enter RCU again if it was held before the walk of vma. Continue after vma."""

    def give_way(self, addr: int) -> None:
        """Release mmap_lock for a moment if a task waits for it. Continue from byte address addr.

        Raises:
            OSError: EINTR if the task is killed while it waits for a writer; only
                unlock_vma_range() may follow.
        """


MAPS_LOCKINGS: dict[str, type[MapsLocking]] = {
    "mmap_lock": MmapLocking,
    "vma_lock": VmaLocking,
    "rcu": RcuLocking,
}
"""The lockings by name. The name selects the reader of a file."""
PAGE_WALK_LOCKINGS: dict[str, type[PageWalkLocking]] = {
    name: locking for name, locking in MAPS_LOCKINGS.items() if issubclass(locking, PageWalkLocking)
}
