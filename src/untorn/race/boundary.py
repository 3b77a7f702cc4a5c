"""The two lines at a fill boundary, where a writer tears one VMA: which may stand there together?

The test of the kernel (tools/testing/selftests/proc/proc-maps-race.c), with what it allows: the
lines before a round, those after modify(), or the piece before and the whole after it.
"""

from itertools import pairwise
from typing import NamedTuple

from untorn.judge.history import Range
from untorn.judge.reading import Reading
from untorn.maps.entry import MapsEntry
from untorn.maps.page import PAGE_SIZE
from untorn.race.racing import UnfitError
from untorn.race.scenario import Site
from untorn.race.tearing import VMA_COUNT, Tearing

LINES = 3
"""Shown on either side of a boundary."""


class Edges(NamedTuple):
    """The last line of a fill and the first line of the next."""

    last: MapsEntry
    first: MapsEntry

    @classmethod
    def of(cls, reading: Reading, number: int) -> "Edges":
        """Return those on either side of the end of fill `number`.

        Raises:
            UnfitError: One of the two fills has no line.
        """
        fills = reading.fills[number : number + 2]
        if len(fills) < 2 or not (fills[0].lines and fills[1].lines):
            raise UnfitError(f"no line on one side of the boundary after read {number}")
        return cls(fills[0].lines[-1], fills[1].lines[0])


def find_boundary(reading: Reading, scenario: Tearing, region: Range) -> tuple[int, Site]:
    """Return the number of a fill that ends with one VMA of the region, and that VMA's site.

    The next fill begins with the next VMA of the region.

    Raises:
        UnfitError: There is no such fill.
    """
    vmas = [scenario.vma(region, number) for number in range(VMA_COUNT)]
    neighbours = {(one.addr, other.addr): one for one, other in pairwise(vmas)}
    for number in range(len(reading.fills) - 2):
        last, first = Edges.of(reading, number)
        site = neighbours.get((last.start, first.start))
        if site is not None:
            return number, site
    raise UnfitError("no fill ends between two VMAs of the region")


class Pattern(NamedTuple):
    """The edges as they are while nobody writes.

    Attributes:
        original: Before a round.
        modified: After modify().
        asked: An address that both have mapped, by other VMAs.
    """

    original: Edges
    modified: Edges
    asked: int

    @classmethod
    def capture(cls, scenario: Tearing, original: Edges, modified: Edges) -> "Pattern":
        """Put it together.

        Raises:
            UnfitError: The change cannot be seen in both lines, or in the last where nothing is
                left after the first page.
        """
        changes = original.last != modified.last, original.first != modified.first
        if changes != (True, scenario.leaves_rest):
            raise UnfitError(
                f"the lines at the boundary are {modified} after a change of {original}"
            )
        offset = PAGE_SIZE if scenario.leaves_rest else 0
        return cls(original, modified, original.last.start + offset)

    def objection(self, edges: Edges) -> str | None:
        """Say what is wrong with edges read while the writer was at work, if anything is."""
        if edges.last == self.modified.last:
            if edges.first not in (self.modified.first, self.original.last):
                return "after the first piece of a VMA stands neither the next nor the whole"
        elif edges != self.original:
            return "the lines at the boundary are of no state"
        return None

    def objection_to_answer(self, answer: MapsEntry) -> str | None:
        """Say what is wrong with what a query for `asked` found, if anything is."""
        if answer in (*self.original, *self.modified) and answer.start <= self.asked < answer.end:
            return None
        return f"a query for {self.asked:08x} found {answer}"


def show_boundary(reading: Reading, number: int) -> list[str]:
    """Return the lines on either side of the end of a fill."""
    above, below = (fill.lines for fill in reading.fills[number : number + 2])
    return [*map(str, above[-LINES:]), "-- fill boundary --", *map(str, below[:LINES])]
