"""The ten ways in which a writer merges or splits VMAs, as readers of the map may meet them.

A letter is a page with one protection, neighbours with the same letter are one VMA, and . is a
hole. A round makes the change and takes it back; the way back is usually another of the ten. The
numbers, and what a reader may see of each, come from the list that accompanied the kernel's change
to VMA locks.
"""

from dataclasses import dataclass
from itertools import groupby

from untorn.judge.history import Range
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mman import MAP_FIXED, PROT_EXEC, PROT_NONE, PROT_READ, PROT_WRITE
from untorn.processes.process_under_test import ProcessUnderTest
from untorn.race.scenario import Site
from untorn.race.tearing import ANONYMOUS, reserve

_PROTECTIONS = {
    "a": PROT_READ | PROT_WRITE,
    "b": PROT_READ,
    "c": PROT_READ | PROT_EXEC,
    "-": PROT_NONE,
}
"""Protections by letter; - is that of all pages before they are mapped."""


@dataclass(frozen=True, slots=True)
class Merging:
    """One way to merge or split.

    Attributes:
        name: The number of the way and what it does.
        before, after: The pages before and after modify().
        anew: Whether to map pages over the old ones instead of changing their protection.
    """

    name: str
    before: str
    after: str
    anew: bool = False

    def set_up(self, process: ProcessUnderTest) -> Range:
        """Map the pages."""
        region = reserve(process, len(self.before) * PAGE_SIZE)
        self._change(process, region[0] + PAGE_SIZE, "-" * len(self.before), self.before)
        return region

    def site(self, region: Range) -> Site:
        """Return where the pages are."""
        return Site(region[0] + PAGE_SIZE)

    def modify(self, process: ProcessUnderTest, site: Site) -> None:
        """Make the change."""
        self._change(process, site.addr, self.before, self.after)

    def restore(self, process: ProcessUnderTest, site: Site) -> None:
        """Take the change back."""
        self._change(process, site.addr, self.after, self.before)

    def writers(self) -> "tuple[Merging]":
        """Return this scenario alone."""
        return (self,)

    def solid(self, region: Range, site: Site) -> tuple[Range, ...]:
        """Return all but the holes, some of which are mapped for a while."""
        at, ranges = region[0], []
        for is_hole, run in groupby("-" + self.before + "-", lambda letter: letter == "."):
            size = len(list(run)) * PAGE_SIZE
            if not is_hole:
                ranges.append((at, at + size))
            at += size
        return tuple(ranges)

    def _change(self, process: ProcessUnderTest, start: int, before: str, after: str) -> None:
        """Make one call for each run of pages that differ."""
        at = start
        for (old, new), run in groupby(zip(before, after, strict=True)):
            size = len(list(run)) * PAGE_SIZE
            if old != new and new == ".":
                process.munmap(at, size)
            elif old != new and (self.anew or old in ".-"):
                process.mmap(at, size, _PROTECTIONS[new], ANONYMOUS | MAP_FIXED)
            elif old != new:
                process.mprotect(at, size, _PROTECTIONS[new])
            at += size


MERGES = (
    Merging("case 1, merge both over an existing VMA", "aaabbbaaa", "aaaaaaaaa"),
    Merging("case 2, merge left, all of the middle", "aaabbbccc", "aaaaaaccc"),
    Merging("case 3, merge left, a part of it", "aaabbbccc", "aaaabbccc"),
    Merging("case 4, merge right, all of the middle", "cccbbbaaa", "cccaaaaaa"),
    Merging("case 5, merge right, a part of it", "cccbbbaaa", "cccbbaaaa"),
    Merging("case 6, a new range joins both", "aaa...aaa", "aaaaaaaaa"),
    Merging("case 7, a new range joins the left", "aaa...ccc", "aaaaaaccc"),
    Merging("case 8, a new range joins the right", "ccc...aaa", "cccaaaaaa"),
    Merging("case 9, split, the new part below", "cccbbbccc", "cccabbccc"),
    Merging("case 10, split, the new part above", "cccbbbccc", "cccbbaccc"),
)
ALWAYS_MAPPED = (
    Merging("mprotect, the first page", "baaab", "bcaab"),
    Merging("mprotect, the middle page", "baaab", "bacab"),
    Merging("mmap over the middle page", "baaab", "bacab", anew=True),
)
"""Changes that tear apart a VMA that is mapped at every instant, and mend it.

Linux since 6.17 gets two things wrong there: a VMA that shrinks after it was found, as in the first
change, and one that grows after it was shown, as in all of them. See docs/false-gap.md.
"""
