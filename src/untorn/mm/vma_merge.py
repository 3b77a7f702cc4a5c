"""Merge: which neighbours may become one VMA, and in what order that is done.

Order (what a reader can see): write-lock all that take part, change the bounds of the target, one
tree store of the target, then detach and free what it took over. The one store is why a merge
never shows a gap. Compare mm/vma.c:vma_merge_new_range(), vma_merge_existing_range(),
commit_merge().

Every function needs mmap_lock held for write.
"""

from dataclasses import dataclass

from untorn.mm.file import VmFile
from untorn.mm.mm_struct import MmStruct
from untorn.mm.mman import VM_SPECIAL
from untorn.mm.page import PAGE_SHIFT
from untorn.mm.vma import Vma
from untorn.mm.vma_lock import vma_start_write
from untorn.mm.vma_store import vma_pages, vma_remove_merged, vma_store


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a range has in common with a VMA that it could merge with.

    Attributes:
        flags: VM_* bits.
        file: The mapped file or None; the same open file, not only the same inode.
        pgoff: Pages, of the first page of the range.
    """

    flags: int
    file: VmFile | None
    pgoff: int

    @classmethod
    def of(cls, vma: Vma, start: int, flags: int | None = None) -> "Attributes":
        """Return those of vma from byte address start on, with other flags if given."""
        pgoff = vma.vm_pgoff + (start - vma.vm_start >> PAGE_SHIFT)
        return cls(vma.vm_flags if flags is None else flags, vma.vm_file, pgoff)

    def continues(self, prev: Vma | None, start: int) -> bool:
        """Say whether the range, beginning at start, may be merged into prev."""
        return (
            prev is not None
            and prev.vm_end == start
            and self._mergeable(prev)
            and prev.vm_pgoff + vma_pages(prev) == self.pgoff
        )

    def precedes(self, following: Vma | None, start: int, end: int) -> bool:
        """Say whether the range [start, end) may be merged into the VMA after it."""
        return (
            following is not None
            and following.vm_start == end
            and self._mergeable(following)
            and self.pgoff + (end - start >> PAGE_SHIFT) == following.vm_pgoff
        )

    def _mergeable(self, vma: Vma) -> bool:
        """Compare mm/vma.c:is_mergeable_vma()."""
        return (
            self.flags == vma.vm_flags and self.file is vma.vm_file and not self.flags & VM_SPECIAL
        )


def vma_merge_new_range(
    mm: MmStruct, prev: Vma | None, following: Vma | None, start: int, end: int, new: Attributes
) -> Vma | None:
    """Let a neighbour take over [start, end), which no attached VMA covers.

    prev grows and swallows following if both fit; else the one that fits grows.

    Returns:
        The VMA that grew, write-locked, or None if neither fits.
    """
    left = new.continues(prev, start)
    right = new.precedes(following, start, end)
    if left:
        assert prev is not None
        swallowed = [following] if right and following is not None else []
        _grow(mm, prev, prev.vm_start, following.vm_end if right and following else end, swallowed)
        return prev
    if right:
        assert following is not None
        _grow(mm, following, start, following.vm_end, [])
        return following
    return None


def vma_merge_existing_range(
    mm: MmStruct, vma: Vma, start: int, end: int, flags: int
) -> Vma | None:
    """Merge [start, end) of vma, about to get flags, with what it touches at vma's edges.

    Returns:
        The VMA that now covers the range, write-locked and with the new flags already its own,
        or None if nothing fits.
    """
    new = Attributes.of(vma, start, flags)
    prev = mm.find_vma_prev(vma.vm_start) if start == vma.vm_start else None
    following = mm.find_vma(vma.vm_end) if end == vma.vm_end else None
    left = prev if new.continues(prev, start) else None
    right = following if new.precedes(following, start, end) else None
    whole = start == vma.vm_start and end == vma.vm_end
    if left is not None and right is not None:
        _grow(mm, left, left.vm_start, right.vm_end, [vma, right])
    elif left is not None and whole:
        _grow(mm, left, left.vm_start, end, [vma])
    elif left is not None:
        _shift_border(mm, left, vma, end)
        return left
    elif right is not None and whole:
        _grow(mm, right, start, right.vm_end, [vma])
    elif right is not None:
        _shift_border(mm, right, vma, start)
    return left or right


def _grow(mm: MmStruct, target: Vma, start: int, end: int, swallowed: list[Vma]) -> None:
    """Extend target to [start, end); what it swallows goes."""
    for vma in (target, *swallowed):
        vma_start_write(vma)
    _set_range(target, start, end)
    vma_store(mm, target)
    for vma in swallowed:
        vma_remove_merged(mm, vma)


def _shift_border(mm: MmStruct, target: Vma, donor: Vma, border: int) -> None:
    """Let target take from donor, its neighbour, all on its own side of border.

    Between the two changes of bounds and the store the tree still shows donor's old range: a
    reader cannot lock either VMA then, and looks again after the section.
    """
    vma_start_write(target)
    vma_start_write(donor)
    if target.vm_end == donor.vm_start:
        _set_range(donor, border, donor.vm_end)
        _set_range(target, target.vm_start, border)
    else:
        _set_range(donor, donor.vm_start, border)
        _set_range(target, border, target.vm_end)
    vma_store(mm, target)


def _set_range(vma: Vma, start: int, end: int) -> None:
    """Set vma's bounds and, if its start moved, its pgoff. Preconditions: write-locked."""
    vma.vm_pgoff += (start - vma.vm_start) >> PAGE_SHIFT
    vma.vm_start = start
    vma.vm_end = end
