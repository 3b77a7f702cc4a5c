"""History: the states of a map in the order in which they were published."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from untorn.judge.line import Line

Range = tuple[int, int]
"""Byte addresses, end exclusive."""
State = tuple[Line, ...]
"""The VMAs of a map at one moment, in address order, none over another."""


class History:
    """States with their versions, indexed as they come: by line, and by what is mapped.

    Attributes:
        first: Version of the first state; each further one has the next.

    A state that differs little from the one before it costs a comparison of the two, no more.
    """

    __slots__ = ("_mapped", "_states", "_toggles", "first")

    def __init__(self, states: Iterable[State] = (), first: int = 0) -> None:
        self.first = first
        self._states: list[State] = []
        self._mapped: list[tuple[int, ...]] = []  # of each state: start, end, start, end...
        # Of each line, versions: there from the first on, gone from the second, there again...
        self._toggles: dict[Line, list[int]] = {}
        for state in states:
            self.append(state)

    @property
    def last(self) -> int:
        """Version of the last state."""
        return self.first + len(self._states) - 1

    def append(self, state: State) -> None:
        """Add the state that was published next."""
        version = self.first + len(self._states)
        before = self._states[-1] if self._states else ()
        self._states.append(state)
        if state == before and self._mapped:
            self._mapped.append(self._mapped[-1])
            return
        self._mapped.append(_mapped(state))
        for line in set(before).symmetric_difference(state):
            self._toggles.setdefault(line, []).append(version)

    def state(self, version: int) -> State:
        """Return a state."""
        return self._states[version - self.first]

    def first_shown(self, line: Line, first: int, last: int) -> int | None:
        """Return the first version of first to last whose state has the line, None if none has.

        O(log n) of the times that the line came or went.
        """
        toggles = self._toggles.get(line)
        if toggles is None or first > last:
            return None
        i = bisect_right(toggles, first)
        if i & 1:
            return first
        return toggles[i] if i < len(toggles) and toggles[i] <= last else None

    def mapped_throughout(self, start: int, end: int, first: int, last: int) -> Sequence[Range]:
        """Return what of a range is mapped in every state from version first to last."""
        throughout: Sequence[Range] = [(start, end)]
        before: tuple[int, ...] | None = None
        for version in range(first, last + 1):
            mapped = self._mapped[version - self.first]
            if mapped is not before:
                throughout = intersect(throughout, mapped)
                before = mapped
            if not throughout:
                break
        return throughout

    def describe(self, around: Range, first: int, last: int) -> list[str]:
        """Say what stood in a range: each state with its lines, those without a change left out."""
        text: list[str] = []
        before: list[Line] | None = None
        for version in range(first, last + 1):
            lines = [x for x in self.state(version) if x.start < around[1] and x.end > around[0]]
            if lines != before:
                text.append(f"  state {version}:" + ("" if lines else " nothing"))
                text += [f"    {line}" for line in lines]
            before = lines
        return text


def _mapped(state: State) -> tuple[int, ...]:
    """Return the borders of what is mapped, neighbours joined."""
    borders: list[int] = []
    for start, end, _ in state:
        if borders and borders[-1] == start:
            borders[-1] = end
        else:
            borders += start, end
    return tuple(borders)


def intersect(ranges: Sequence[Range], borders: tuple[int, ...]) -> list[Range]:
    """Return what of the ranges lies between a border of even number and the next."""
    common = []
    for start, end in ranges:
        i = bisect_right(borders, start) & ~1  # the first mapping that ends above start
        while i < len(borders) and borders[i] < end:
            common.append((max(start, borders[i]), min(end, borders[i + 1])))
            i += 2
    return common
