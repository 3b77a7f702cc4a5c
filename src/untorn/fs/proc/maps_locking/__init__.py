"""Lockings: how the VMAs of one fill are kept still while their lines are written.

A reader is called by the name of its locking.

    mmap_lock   the whole fill under mmap_lock; the kernel before 6.17
    vma_lock    one VMA lock at a time, mmap_lock for one step where a writer was met; since 6.17
    rcu         a copy of each VMA, good if no writer came in between; never merged

smaps and numa_maps also walk the page table of each VMA, which may sleep and needs the VMA itself
kept still, not a copy: mmap_lock does (up to 7.1), and vma_lock does (since 7.2) if RCU is left for
the walk.

The code above knows only the protocol below. A locking context belongs to one fill or one ioctl
call at a time, so nothing in it is shared between tasks.

From the top down: mmap_lock, rcu, vma_lock.
"""

from typing import Protocol, runtime_checkable

from untorn.fs.proc.maps_locking.mmap_lock import MmapLocking
from untorn.fs.proc.maps_locking.rcu import RcuLocking
from untorn.fs.proc.maps_locking.vma_lock import VmaLocking
from untorn.mm.mm_types import MmStruct, Vma


class MapsLocking(Protocol):
    """One locking at work on one mm."""

    def __init__(self, mm: MmStruct) -> None:
        """Stand at the start of mm, holding nothing."""

    def lock_vma_range(self) -> None:
        """Begin. Raises OSError EINTR if killed meanwhile; nothing is held then."""

    def vma_iter_set(self, addr: int) -> None:
        """Go on from byte address addr."""

    def get_next_vma(self, from_addr: int) -> Vma | None:
        """Let go of the VMA returned before, and return the next one, kept still.

        Args:
            from_addr: Where the walk stands: the end of the VMA returned before, or where
                vma_iter_set() put it.

        Raises:
            OSError: EINTR if the task is killed while it waits for a writer.
        """

    def unlock_vma_range(self) -> None:
        """Let go of everything."""

    def statistics(self) -> dict[str, int]:
        """Return how often this context met a writer, by kind."""


@runtime_checkable
class PageWalkLocking(MapsLocking, Protocol):
    """One that also lets the page table of a VMA be walked."""

    def begin_page_walk(self) -> None:
        """Leave RCU, if it is held; the VMA returned last stays still."""

    def end_page_walk(self, vma: Vma) -> None:
        """Hold again what was held before the walk of vma; go on after it."""

    def give_way(self, addr: int) -> None:
        """Let go for a moment of what somebody waits for; go on from byte address addr.

        Raises:
            OSError: EINTR if the task is killed while it waits for a writer; only
                unlock_vma_range() may follow.
        """


MAPS_LOCKINGS: dict[str, type[MapsLocking]] = {
    "mmap_lock": MmapLocking,
    "vma_lock": VmaLocking,
    "rcu": RcuLocking,
}
"""The registry, by the name that a reader is asked for by."""
PAGE_WALK_LOCKINGS: dict[str, type[PageWalkLocking]] = {
    name: locking for name, locking in MAPS_LOCKINGS.items() if issubclass(locking, PageWalkLocking)
}
