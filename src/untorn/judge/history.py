"""History: the states of a map in the order in which they were published."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from untorn.maps.entry import MapsEntry

Range = tuple[int, int]
"""Byte addresses, end exclusive."""
State = tuple[MapsEntry, ...]
"""The VMAs of a map at one moment, in address order, without overlaps."""


class History:
    """States with their versions, indexed as they are added: by line, and by what is mapped.

    Attributes:
        first: Version of the first state; each further state has the next version.

    A state that shares most lines with the one before costs little more than comparing the two.
    What is mapped is computed on demand.
    """

    __slots__ = ("_borders", "_states", "_toggles", "first")

    def __init__(self, states: Iterable[State] = (), first: int = 0) -> None:
        self.first = first
        self._states: list[State] = []
        self._borders: dict[int, tuple[int, ...]] = {}  # by version, see borders()
        # By line, versions: it appears in the first, is gone in the second, appears in the third...
        self._toggles: dict[MapsEntry, list[int]] = {}
        for state in states:
            self.append(state)

    @property
    def last(self) -> int:
        """Version of the last state."""
        return self.first + len(self._states) - 1

    def append(self, state: State) -> None:
        """Add the state that was published next."""
        version = self.first + len(self._states)
        gone, come = _changed(self._states[-1] if self._states else (), state)
        self._states.append(state)
        for line in set(gone).symmetric_difference(come):
            self._toggles.setdefault(line, []).append(version)

    def state(self, version: int) -> State:
        """Return a state."""
        return self._states[version - self.first]

    def first_shown(self, line: MapsEntry, first: int, last: int) -> int | None:
        """Return the first version in first to last whose state has the line, None if none has.

        It takes O(log n), n being how often the line came or went.
        """
        toggles = self._toggles.get(line)
        if toggles is None or first > last:
            return None
        i = bisect_right(toggles, first)
        if i & 1:
            return first
        return toggles[i] if i < len(toggles) and toggles[i] <= last else None

    def mapped_throughout(self, start: int, end: int, first: int, last: int) -> Sequence[Range]:
        """Return the parts of a range that are mapped in every state from version first to last."""
        throughout: Sequence[Range] = [(start, end)]
        before: State | None = None
        for version in range(first, last + 1):
            if not throughout:
                break
            if self.state(version) is not before:
                before = self.state(version)
                throughout = intersect(throughout, self._mapped(version))
        return throughout

    def _mapped(self, version: int) -> tuple[int, ...]:
        found = self._borders.get(version)
        if found is None:
            found = self._borders[version] = borders(self.state(version))
        return found

    def describe(self, around: Range, first: int, last: int) -> list[str]:
        """Return what stood in a range: the lines of each state; unchanged states are left out."""
        text: list[str] = []
        before: list[MapsEntry] | None = None
        for version in range(first, last + 1):
            lines = [x for x in self.state(version) if x.start < around[1] and x.end > around[0]]
            if lines != before:
                text.append(f"  state {version}:" + ("" if lines else " nothing"))
                text += [f"    {line}" for line in lines]
            before = lines
        return text


def _changed(before: State, after: State) -> tuple[State, State]:
    """Return what differs between two states: both without their common head and tail."""
    shorter = min(len(before), len(after))
    low = 0
    while low < shorter and before[low] == after[low]:
        low += 1
    high = 0
    while high < shorter - low and before[-1 - high] == after[-1 - high]:
        high += 1
    return before[low : len(before) - high], after[low : len(after) - high]


def borders(ranges: Iterable[tuple[int, int, *tuple[object, ...]]]) -> tuple[int, ...]:
    """Return start, end, start, end... of what some ranges cover, with neighbours joined.

    Args:
        ranges: Tuples of start, end and whatever follows; in address order, without overlaps.
    """
    found: list[int] = []
    for start, end, *_ in ranges:
        if found and found[-1] == start:
            found[-1] = end
        else:
            found += start, end
    return tuple(found)


def intersect(ranges: Sequence[Range], mapped: tuple[int, ...]) -> list[Range]:
    """Return the mapped parts of the ranges, given the borders() of what is mapped."""
    common = []
    for start, end in ranges:
        i = bisect_right(mapped, start) & ~1  # the first mapping that ends above start
        while i < len(mapped) and mapped[i] < end:
            common.append((max(start, mapped[i]), min(end, mapped[i + 1])))
            i += 2
    return common
