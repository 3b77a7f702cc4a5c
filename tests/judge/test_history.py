"""A history's answers equal those of a search through every state."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.entries import record
from untorn.judge.history import History, State


def state(vmas: list[tuple[int, int, int]]) -> State:
    """Make VMAs of (hole before it, pages, attributes)."""
    lines, at = [], 0
    for hole, pages, what in vmas:
        lines.append(record(at + hole, at + hole + pages, name=b"%d" % what))
        at += hole + pages
    return tuple(lines)


STATES = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 2), st.integers(0, 1))).map(state)
HISTORIES = st.lists(STATES, min_size=1, max_size=8)
WINDOWS = st.tuples(st.integers(0, 7), st.integers(0, 7)).map(sorted)


@given(HISTORIES, WINDOWS, st.integers(0, 100))
@settings(derandomize=True)
def test_a_line_is_found_where_it_first_stood_in_a_window(
    states: list[State], window: list[int], origin: int
) -> None:
    history = History(states, origin)
    first, last = (min(version, len(states) - 1) for version in window)
    for line in {line for each in states for line in each} | {record(0, 50)}:
        shown = [version for version in range(first, last + 1) if line in states[version]]
        expected = origin + shown[0] if shown else None
        assert history.first_shown(line, origin + first, origin + last) == expected


@given(HISTORIES, WINDOWS, st.integers(0, 10), st.integers(1, 10))
@settings(derandomize=True)
def test_what_is_mapped_throughout_a_window_is_mapped_in_each_state(
    states: list[State], window: list[int], start: int, size: int
) -> None:
    first, last = (min(version, len(states) - 1) for version in window)
    found = History(states).mapped_throughout(start, start + size, first, last)
    pages = {page for begin, end in found for page in range(begin, end)}
    for page in range(start, start + size):
        mapped = all(
            any(line.start <= page < line.end for line in states[version])
            for version in range(first, last + 1)
        )
        assert (page in pages) == mapped


def test_versions_go_on_from_the_first() -> None:
    one, other = state([(0, 1, 0)]), state([(0, 2, 0)])
    history = History([one], 7)
    assert (history.first, history.last) == (7, 7)
    history.append(other)
    assert (history.last, history.state(8)) == (8, other)
