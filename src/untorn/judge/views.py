"""Evidence when states cannot be observed: what follows from what the writer does."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from untorn.judge.history import History, Range, State, borders, intersect
from untorn.maps.entry import MapsEntry

ROUNDS = 3
"""How often an alternating() history goes through its states."""


@dataclass(frozen=True, slots=True)
class Solid:
    """Knows only that some ranges are mapped at every instant, and believes any line.

    Attributes:
        ranges: The ranges, in address order.
    """

    ranges: tuple[Range, ...]

    def first_shown(self, line: MapsEntry, first: int, last: int) -> int:
        """Return first: nothing is known that contradicts the line."""
        return first

    def mapped_throughout(self, start: int, end: int, first: int, last: int) -> Sequence[Range]:
        """Return what of the range is mapped at every instant."""
        return intersect([(start, end)], borders(self.ranges))

    def describe(self, around: Range, first: int, last: int) -> list[str]:
        """Return lines that name the ranges."""
        ranges = intersect([around], borders(self.ranges))
        return [f"  mapped at every instant: {start:08x}-{end:08x}" for start, end in ranges]


def alternating(states: Sequence[State], solid: Iterable[Range]) -> History:
    """Return the history of a map that goes through some states over and over, at unknown times.

    The window of every reading is the whole history. Between two states a range that is not solid
    may be unmapped for an instant, even if it is mapped in both.
    """
    mapped = borders(solid)
    cycle = [each for state in states for each in (state, _cut(state, mapped))]
    return History(cycle * ROUNDS + [states[0]])


def _cut(state: State, mapped: tuple[int, ...]) -> State:
    """Return the parts of a state's lines that remain if only `mapped` is mapped."""
    return tuple(
        line._replace(start=start, end=end)
        for line in state
        for start, end in intersect([line[:2]], mapped)
    )
