"""The two lines at a fill boundary while a writer tears one VMA: which may stand there together.

This is the kernel's test (tools/testing/selftests/proc/proc-maps-race.c), with what it allows: the
lines before a round, the lines after modify(), or the first piece followed by the whole VMA.
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
"""Lines shown on either side of a boundary."""


class Edges(NamedTuple):
    """The last line of a fill and the first line of the next."""

    last: MapsEntry
    first: MapsEntry

    @classmethod
    def of(cls, reading: Reading, number: int) -> "Edges":
        """Return the lines on either side of the end of fill `number`.

        Raises:
            UnfitError: One of the two fills has no line.
        """
        fills = reading.fills[number : number + 2]
        if len(fills) < 2 or not (fills[0].lines and fills[1].lines):
            raise UnfitError(f"no line on one side of the boundary after read {number}")
        return cls(fills[0].lines[-1], fills[1].lines[0])


def find_boundary(reading: Reading, scenario: Tearing, region: Range) -> tuple[int, Site]:
    """Return the number of a fill that ends with a VMA of the region, and the site of that VMA.

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
        original: The edges before a round.
        modified: The edges after modify().
        asked: An address that is mapped in both, by different VMAs.
    """

    original: Edges
    modified: Edges
    asked: int

    @classmethod
    def capture(cls, scenario: Tearing, original: Edges, modified: Edges) -> "Pattern":
        """Return the pattern of a scenario.

        Raises:
            UnfitError: The change does not show in both lines; or, if the scenario leaves nothing
                mapped after the first page, not in the last line alone.
        """
        changes = original.last != modified.last, original.first != modified.first
        if changes != (True, scenario.leaves_rest):
            raise UnfitError(
                f"the lines at the boundary are {modified} after a change of {original}"
            )
        offset = PAGE_SIZE if scenario.leaves_rest else 0
        return cls(original, modified, original.last.start + offset)

    def objection(self, edges: Edges) -> str | None:
        """Return what is wrong with edges read while the writer worked, None if nothing is."""
        if edges.last == self.modified.last:
            if edges.first not in (self.modified.first, self.original.last):
                return "neither the next piece nor the whole VMA follows its first piece"
        elif edges != self.original:
            return "the lines at the boundary belong to no state"
        return None

    def objection_to_answer(self, answer: MapsEntry) -> str | None:
        """Return what is wrong with the answer to a query for `asked`, None if nothing is."""
        if answer in (*self.original, *self.modified) and answer.start <= self.asked < answer.end:
            return None
        return f"a query for {self.asked:08x} found {answer}"


def show_boundary(reading: Reading, number: int) -> list[str]:
    """Return the lines on either side of the end of a fill."""
    above, below = (fill.lines for fill in reading.fills[number : number + 2])
    return [*map(str, above[-LINES:]), "-- fill boundary --", *map(str, below[:LINES])]
