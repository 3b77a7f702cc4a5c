"""Merge VMAs: decide which neighbours may become one VMA, and make them one.

A merge write-locks all VMAs that take part and changes the bounds of the target. Then it stores the
target in the tree with one store, and detaches and frees the VMAs that the target replaced. Because
there is only one store, a merge never exposes a hole. Compare mm/vma.c:vma_merge_new_range(),
vma_merge_existing_range(), commit_merge().

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
    """The attributes of a range, which decide the VMAs that it may merge with.

    Attributes:
        flags: VM_* bits.
        file: The mapped file or None. It must be the same open file, not only the same inode.
        pgoff: The page offset of the first page of the range.
        anon_pgoff: The anonymous page offset of that page; see Vma.vm_anon_pgoff.
        anon_name: The name of the range, if it is named anonymous memory.
        policy: The policy that mbind() set, or None.
        origin: The VMA that the range is part of, was copied from, or extends; None for a new
            mapping.
        extends: The range extends origin. Then Linux does not check whether origin is a fork child.
        copied: The range was copied from origin, which a plain move then unmaps.
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
        """Return the attributes of the part of vma that begins at byte address start."""
        pages = start - vma.vm_start >> PAGE_SHIFT
        pgoff, anon_pgoff = vma.vm_pgoff + pages, vma.vm_anon_pgoff + pages
        return cls(vma.vm_flags, vma.vm_file, pgoff, anon_pgoff, vma.anon_name, vma.vm_policy, vma)

    def continues(self, prev: Vma | None, start: int) -> bool:
        """Return whether the range, which begins at start, may be merged into prev."""
        return (
            prev is not None
            and prev.vm_end == start
            and self._mergeable(prev)
            and self._follows_at(vma_pages(prev), prev)
        )

    def precedes(self, following: Vma | None, start: int, end: int) -> bool:
        """Return whether the range [start, end) may be merged into the VMA after it."""
        return (
            following is not None
            and following.vm_start == end
            and self._mergeable(following)
            and self._follows_at(start - end >> PAGE_SHIFT, following)
        )

    def _follows_at(self, pages: int, vma: Vma) -> bool:
        """Return whether the range's page offset is vma's first page offset plus pages.

        Compare mm/vma.c:can_vma_merge_before(), can_vma_merge_after().
        """
        if vma.vm_pgoff + pages != self.pgoff:
            return False
        # A private mapping of a file has two page offsets, and a move may have made them differ.
        # Other mappings own no anonymous pages, or use vm_pgoff for them.
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
        """Return whether vma may take over the range. The VMA that the range extends always may."""
        own = self.extends and vma is self.origin
        return own or _may_go(vma) or vma.vm_mm.release.has(CLOSE_MERGES)

    def _anon_vma_mergeable(self, vma: Vma) -> bool:
        """Compare mm/vma.c:is_mergeable_anon_vma()."""
        own = self.origin.anon_vma if self.origin is not None else None
        # A VMA has one anon_vma. If only one side has one, the merged VMA takes it. Linux does not
        # do this if that side is a fork child: the merged VMA would join the chains of all its
        # ancestors and make every later walk along them longer.
        if own is None:
            return not is_fork_child(vma)
        if vma.anon_vma is None:
            taken_over = vma.vm_mm.release.has(ANON_VMA_TAKEN_OVER)
            asks = self._brings_anon_vma(vma.vm_mm) and not self.extends
            return taken_over and not (asks and is_fork_child(self.origin))
        # Both sides have one. They may merge only if it is the same.
        return own is vma.anon_vma

    def _brings_anon_vma(self, mm: MmStruct) -> bool:
        """Return whether Linux takes the anon_vma of the range's origin into account in a merge."""
        return not self.copied or mm.release.has(COPY_BRINGS_ANON_VMA)

    def anon_vma_source(self, mm: MmStruct) -> Vma | None:
        """Return the VMA whose anon_vma a merge gives to the VMA that takes over the range."""
        return self.origin if self._brings_anon_vma(mm) else None


def vma_merge_new_range(
    mm: MmStruct, prev: Vma | None, following: Vma | None, start: int, end: int, new: Attributes
) -> Vma | None:
    """Let a neighbour take over [start, end), which no attached VMA covers.

    If both neighbours fit, prev grows and swallows following. Otherwise the one that fits grows.

    Returns:
        The VMA that grew, write-locked, or None if neither fits.
    """
    # The tree may have nothing in the range, or VMAs that mmap has detached already. The one store
    # in _grow() overwrites either.
    left = prev if new.continues(prev, start) else None
    right = following if new.precedes(following, start, end) else None
    # Each may fit the range but not the other one: the range has no anon_vma, but both may have
    # different ones.
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
    """Merge [start, end) of vma, which is about to get new attributes, with adjacent VMAs.

    Returns:
        The VMA that now covers the range, write-locked and with the new attributes, or None if no
        neighbour fits.
    """
    # A range strictly inside vma has no neighbour but vma itself, which keeps its old attributes.
    prev = mm.find_vma_prev(vma.vm_start) if start == vma.vm_start else None
    following = mm.find_vma(vma.vm_end) if end == vma.vm_end else None
    left = prev if new.continues(prev, start) else None
    right = following if new.precedes(following, start, end) else None
    whole = start == vma.vm_start and end == vma.vm_end
    # If the whole vma joins a neighbour, it is removed. If only a part does, it shrinks.
    if whole and not _may_go(vma):
        return None
    # Both can fit only if the range is the whole vma.
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
    """Return whether left and right, which both fit the range between them, may become one VMA."""
    return _may_go(right) and _anon_vmas_agree(left, right)


def _anon_vmas_agree(left: Vma, right: Vma) -> bool:
    return left.anon_vma is None or right.anon_vma is None or left.anon_vma is right.anon_vma


def _may_go(vma: Vma) -> bool:
    """Return whether a merge may remove vma. Compare mm/vma.c:can_merge_remove_vma()."""
    return vma.vm_ops is None or not vma.vm_ops.has_close


def _grow(
    mm: MmStruct, target: Vma, start: int, end: int, swallowed: list[Vma], new: Attributes
) -> None:
    """Extend target to [start, end) and remove the VMAs that it swallows.

    Args:
        mm: The address space.
        target: The VMA to extend. If it has no anon_vma, it takes that of a swallowed VMA or of the
            range's origin.
        start: Byte address.
        end: Byte address, exclusive.
        swallowed: The VMAs that [start, end) covers completely.
        new: The attributes of the range.
    """
    # Take all locks before the first change, so that the readers we wait for saw the old state
    # only. From here on no reader can lock one of these VMAs before the section ends.
    for vma in (target, *swallowed):
        vma_start_write(vma)
    for source in (*swallowed, new.anon_vma_source(mm)):
        _dup_anon_vma(target, source)
    for flags in (new.flags, *(vma.vm_flags for vma in swallowed)):
        target.vm_flags |= flags & VM_STICKY
    # Until the store, the tree has the old ranges while the target has the new one. No reader can
    # notice, because it must lock the target before it looks at the bounds.
    _set_range(target, start, end)
    # One store overwrites all swallowed VMAs. Before it they cover the range, after it the target
    # does, and in no version is the range empty.
    vma_store(mm, target)
    # Detach them only now. A reader that found one of them in the old version gets DETACHED, looks
    # it up again, and finds the target. If they were detached before the store, its second lookup
    # could find the same VMA again.
    for vma in swallowed:
        vma_remove_merged(mm, vma)


def _shift_border(mm: MmStruct, target: Vma, donor: Vma, border: int, new: Attributes) -> None:
    """Move the border between target and its neighbour donor, so that target grows to border.

    Between the changes of the bounds and the store, the tree still has donor's old range. Then a
    reader can lock neither VMA, and looks them up again after the section.
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
    # One store is enough for both VMAs: what it leaves of the donor's slot is exactly the donor's
    # new range.
    vma_store(mm, target)


def _dup_anon_vma(target: Vma, source: Vma | None) -> None:
    """Compare mm/vma.c:dup_anon_vma()."""
    # The pages that the target takes over belong to that anon_vma, so the target must have it, too.
    if source is not None and source.anon_vma is not None and target.anon_vma is None:
        target.anon_vma = source.anon_vma
        anon_vma_clone(target, source)


def _set_range(vma: Vma, start: int, end: int) -> None:
    """Set vma's bounds and, if its start moved, its pgoff. Preconditions: write-locked."""
    # Each page keeps its offset in the file. It does so in private anonymous memory, too: there the
    # offset is where the page was first mapped, and decides whether VMAs may merge.
    vma_add_pgoff(vma, start - vma.vm_start >> PAGE_SHIFT)
    vma.vm_start = start
    vma.vm_end = end
