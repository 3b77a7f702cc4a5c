"""Merge: which neighbours may become one VMA, and in what order that is done.

Order (what a reader can see): write-lock all that take part, change the bounds of the target, one
tree store of the target, then detach and free what it took over. The one store is why a merge
never shows a gap. Compare mm/vma.c:vma_merge_new_range(), vma_merge_existing_range(),
commit_merge().

Every function needs mmap_lock held for write.
"""

from dataclasses import dataclass

from untorn.maps.page import PAGE_SHIFT
from untorn.mm.file import VmFile
from untorn.mm.mempolicy import Mempolicy
from untorn.mm.mm_types import MmStruct, Vma, vma_add_pgoff, vma_pages
from untorn.mm.mman import VM_SPECIAL, VM_STICKY, is_cow_mapping
from untorn.mm.vma_lock import vma_start_write
from untorn.mm.vmas.rmap import anon_vma_clone, is_fork_child
from untorn.mm.vmas.vm_area import vma_remove_merged, vma_store
from untorn.releases.changes import (
    ANON_PGOFF,
    ANON_VMA_TAKEN_OVER,
    CLOSE_MERGES,
    COPY_BRINGS_ANON_VMA,
)


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a range has in common with a VMA that it could merge with.

    Attributes:
        flags: VM_* bits.
        file: The mapped file or None; the same open file, not only the same inode.
        pgoff: Pages, of the first page of the range.
        anon_pgoff: The same as a number of the VMA's own pages; see Vma.vm_anon_pgoff.
        anon_name: Its name, if it is named anonymous memory.
        policy: What mbind() set, or None.
        origin: The VMA that the range is part of, was copied from, or extends; None for a new
            mapping.
        extends: It does, and Linux does not ask then whether origin is a fork child.
        copied: It was copied from origin, which a move then takes away.
    """

    flags: int
    file: VmFile | None
    pgoff: int
    anon_pgoff: int
    anon_name: bytes | None = None
    policy: Mempolicy | None = None
    origin: Vma | None = None
    extends: bool = False
    copied: bool = False

    @classmethod
    def of(cls, vma: Vma, start: int) -> "Attributes":
        """Return those of vma from byte address start on."""
        pages = start - vma.vm_start >> PAGE_SHIFT
        pgoff, anon_pgoff = vma.vm_pgoff + pages, vma.vm_anon_pgoff + pages
        return cls(vma.vm_flags, vma.vm_file, pgoff, anon_pgoff, vma.anon_name, vma.vm_policy, vma)

    def continues(self, prev: Vma | None, start: int) -> bool:
        """Say whether the range, beginning at start, may be merged into prev."""
        return (
            prev is not None
            and prev.vm_end == start
            and self._mergeable(prev)
            and self._follows_at(vma_pages(prev), prev)
        )

    def precedes(self, following: Vma | None, start: int, end: int) -> bool:
        """Say whether the range [start, end) may be merged into the VMA after it."""
        return (
            following is not None
            and following.vm_start == end
            and self._mergeable(following)
            and self._follows_at(start - end >> PAGE_SHIFT, following)
        )

    def _follows_at(self, pages: int, vma: Vma) -> bool:
        """Say whether the range begins where vma's pages would, this many after its first one.

        Compare mm/vma.c:can_vma_merge_before(), can_vma_merge_after().
        """
        if vma.vm_pgoff + pages != self.pgoff:
            return False
        # Private memory of a file has two numbers, which a move may have set at odds. The other
        # kinds own no pages, or own them by the number above.
        has_two = self.file is not None and is_cow_mapping(self.flags)
        if has_two and vma.vm_mm.release.has(ANON_PGOFF):
            return vma.vm_anon_pgoff + pages == self.anon_pgoff
        return True

    def _mergeable(self, vma: Vma) -> bool:
        """Compare mm/vma.c:is_mergeable_vma()."""
        return (
            not (self.flags ^ vma.vm_flags) & ~VM_STICKY
            and self.file is vma.vm_file
            and self.anon_name == vma.anon_name
            and self.policy == vma.vm_policy
            and not self.flags & VM_SPECIAL
            and self._may_grow(vma)
            and self._anon_vma_mergeable(vma)
        )

    def _may_grow(self, vma: Vma) -> bool:
        """Say whether vma may take the range over; what the range extends always may."""
        own = self.extends and vma is self.origin
        return own or _may_go(vma) or vma.vm_mm.release.has(CLOSE_MERGES)

    def _anon_vma_mergeable(self, vma: Vma) -> bool:
        """Compare mm/vma.c:is_mergeable_anon_vma()."""
        own = self.origin.anon_vma if self.origin is not None else None
        # One VMA has one anon_vma. If only one side owns pages, the merged VMA takes that side's.
        # Linux does not do this for a fork child: the other side would join the chains of all its
        # ancestors, and lengthen every later walk along them.
        if own is None:
            return not is_fork_child(vma)
        if vma.anon_vma is None:
            taken_over = vma.vm_mm.release.has(ANON_VMA_TAKEN_OVER)
            asks = self._brings_anon_vma(vma.vm_mm) and not self.extends
            return taken_over and not (asks and is_fork_child(self.origin))
        # Both own pages: under one anon_vma, or they stay two.
        return own is vma.anon_vma

    def _brings_anon_vma(self, mm: MmStruct) -> bool:
        """Say whether Linux minds, in a merge, the anon_vma of where the range comes from."""
        return not self.copied or mm.release.has(COPY_BRINGS_ANON_VMA)

    def anon_vma_source(self, mm: MmStruct) -> Vma | None:
        """Return the VMA whose anon_vma a merge gives to what takes the range over."""
        return self.origin if self._brings_anon_vma(mm) else None


def vma_merge_new_range(
    mm: MmStruct, prev: Vma | None, following: Vma | None, start: int, end: int, new: Attributes
) -> Vma | None:
    """Let a neighbour take over [start, end), which no attached VMA covers.

    prev grows and swallows following if both fit; else the one that fits grows.

    Returns:
        The VMA that grew, write-locked, or None if neither fits.
    """
    # Nothing here looks at what the tree has in the range. It may be empty, or be VMAs that mmap
    # has detached already: the one store in _grow() takes their slots.
    left = prev if new.continues(prev, start) else None
    right = following if new.precedes(following, start, end) else None
    # Each may fit the range and not the other one: the range owns no pages, but both of them may.
    if left is not None and right is not None and _may_be_one(left, right):
        _grow(mm, left, left.vm_start, right.vm_end, [right], new)
    elif left is not None:
        _grow(mm, left, left.vm_start, end, [], new)
    elif right is not None:
        _grow(mm, right, start, right.vm_end, [], new)
    return left or right


def vma_merge_existing_range(
    mm: MmStruct, vma: Vma, start: int, end: int, new: Attributes
) -> Vma | None:
    """Merge [start, end) of vma, about to get new attributes, with what it touches at its edges.

    Returns:
        The VMA that now covers the range, write-locked and with the attributes already its own,
        or None if nothing fits.
    """
    # A range inside of vma touches only vma itself, which keeps its old attributes.
    prev = mm.find_vma_prev(vma.vm_start) if start == vma.vm_start else None
    following = mm.find_vma(vma.vm_end) if end == vma.vm_end else None
    left = prev if new.continues(prev, start) else None
    right = following if new.precedes(following, start, end) else None
    whole = start == vma.vm_start and end == vma.vm_end
    # If all of vma joins a neighbour, its object goes. A part only shrinks it.
    if whole and not _may_go(vma):
        return None
    # Both can fit only if the range is the whole of vma, as it has to touch both edges.
    if left is not None and right is not None and _may_be_one(left, right):
        _grow(mm, left, left.vm_start, right.vm_end, [vma, right], new)
    elif left is not None and whole:
        _grow(mm, left, left.vm_start, end, [vma], new)
    elif left is not None:
        _shift_border(mm, left, vma, end, new)
    elif right is not None and whole:
        _grow(mm, right, start, right.vm_end, [vma], new)
    elif right is not None:
        _shift_border(mm, right, vma, start, new)
    return left or right


def _may_be_one(left: Vma, right: Vma) -> bool:
    """Say whether both, each fit to merge with what lies between, may become one VMA."""
    return _may_go(right) and _anon_vmas_agree(left, right)


def _anon_vmas_agree(left: Vma, right: Vma) -> bool:
    return left.anon_vma is None or right.anon_vma is None or left.anon_vma is right.anon_vma


def _may_go(vma: Vma) -> bool:
    """Say whether a merge may make vma go. Compare mm/vma.c:can_merge_remove_vma()."""
    return vma.vm_ops is None or not vma.vm_ops.has_close


def _grow(
    mm: MmStruct, target: Vma, start: int, end: int, swallowed: list[Vma], new: Attributes
) -> None:
    """Extend target to [start, end); what it swallows goes.

    Args:
        mm: The address space.
        target: Takes over the anon_vma of what it swallows, or of where the range comes from, if
            it has none.
        start: Byte address.
        end: Byte address, exclusive.
        swallowed: VMAs in the range, each wholly.
        new: Of the range.
    """
    # All locks before the first change: each wait ends with readers that saw the old state whole.
    # From here on no reader gets one of them before the section ends.
    for vma in (target, *swallowed):
        vma_start_write(vma)
    for source in (*swallowed, new.anon_vma_source(mm)):
        _dup_anon_vma(target, source)
    for flags in (new.flags, *(vma.vm_flags for vma in swallowed)):
        target.vm_flags |= flags & VM_STICKY
    # Between this and the store the tree has the old ranges, and the target says a new one. No
    # reader can tell: it must lock the target before it may look at its bounds.
    _set_range(target, start, end)
    # One store over everything that goes. Before it the old VMAs cover the range, after it the
    # target does, and there is no version in which nothing does.
    vma_store(mm, target)
    # Detached only now. A reader that found one of them in the old version is told DETACHED, looks
    # again, and finds the target. The other way round it could look again in vain.
    for vma in swallowed:
        vma_remove_merged(mm, vma)


def _shift_border(mm: MmStruct, target: Vma, donor: Vma, border: int, new: Attributes) -> None:
    """Let target take from donor, its neighbour, all on its own side of border.

    Between the two changes of bounds and the store the tree still shows donor's old range: a
    reader cannot lock either VMA then, and looks again after the section.
    """
    vma_start_write(target)
    vma_start_write(donor)
    _dup_anon_vma(target, donor)
    target.vm_flags |= new.flags & VM_STICKY
    if target.vm_end == donor.vm_start:
        _set_range(donor, border, donor.vm_end)
        _set_range(target, target.vm_start, border)
    else:
        _set_range(donor, donor.vm_start, border)
        _set_range(target, border, target.vm_end)
    # One store is enough for two VMAs: what it does not overwrite of the donor's slot is exactly
    # the donor's new range.
    vma_store(mm, target)


def _dup_anon_vma(target: Vma, source: Vma | None) -> None:
    """Compare mm/vma.c:dup_anon_vma()."""
    # The pages that the target takes over belong to that anon_vma, so it must, too.
    if source is not None and source.anon_vma is not None and target.anon_vma is None:
        target.anon_vma = source.anon_vma
        anon_vma_clone(target, source)


def _set_range(vma: Vma, start: int, end: int) -> None:
    """Set vma's bounds and, if its start moved, its pgoff. Preconditions: write-locked."""
    # Each page keeps its place in the file. For private anonymous memory, too: there the number
    # says where the page was mapped first, and tells whether VMAs may be merged.
    vma_add_pgoff(vma, start - vma.vm_start >> PAGE_SHIFT)
    vma.vm_start = start
    vma.vm_end = end
