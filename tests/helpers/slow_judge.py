"""The contract, word by word: page by page, state by state. Slow and obvious."""

from untorn.judge.contract import Rule
from untorn.judge.history import State
from untorn.judge.reading import Reading
from untorn.maps.entry import MapsEntry

Broken = tuple[Rule, int | None]
"""A rule, and the number of the line at which it is broken; None after the last line."""


def judge_slowly(states: list[State], reading: Reading, size: int) -> set[Broken]:
    """Judge a reading of a map of `size` pages; versions count from 0."""
    broken: set[Broken] = set()
    shown = [(line, fill) for fill in reading.fills for line in fill.lines]
    earlier: list[tuple[MapsEntry, range]] = []
    highest = 0
    for number, (line, fill) in enumerate(shown):
        window = range(fill.first, fill.last + 1)
        if line.end <= highest:
            broken.add((Rule.ENDS, number))
            continue
        if not any(line in states[version] for version in window):
            broken.add((Rule.LINE, number))
        if any(always_mapped(page, states, window) for page in range(highest, line.start)):
            broken.add((Rule.GAP, number))
        for other, other_window in earlier:
            overlaps = line.start < other.end
            if overlaps and not could_follow(other, other_window, line, window, states):
                broken.add((Rule.OVERLAP, number))
        earlier.append((line, window))
        highest = line.end
    if reading.ended_from is not None:
        window = range(reading.fills[reading.ended_from].first, reading.fills[-1].last + 1)
        if any(always_mapped(page, states, window) for page in range(highest, size)):
            broken.add((Rule.GAP, None))
    return broken


def always_mapped(page: int, states: list[State], window: range) -> bool:
    return all(any(line.start <= page < line.end for line in states[version]) for version in window)


def could_follow(
    one: MapsEntry, its_window: range, other: MapsEntry, window: range, states: list[State]
) -> bool:
    """Whether `one` may have been shown before a change that led to `other`."""
    times = [version for version in its_window if one in states[version]] or [its_window[0]]
    return any(earlier < later and other in states[later] for earlier in times for later in window)
