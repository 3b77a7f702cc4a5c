"""Labels are moved apart, and no further than needed."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("matplotlib")

from untorn.bench.plots.labels import apart

HEIGHTS = st.lists(st.floats(0, 1), max_size=6).map(sorted)


def test_labels_that_are_apart_stay() -> None:
    assert apart([0, 0.3, 0.5, 1], 0.2) == pytest.approx([0, 0.3, 0.5, 1])


def test_labels_that_are_too_close_are_moved_alike() -> None:
    assert apart([0.1, 0.5, 0.5], 0.2) == pytest.approx([0.1, 0.4, 0.6])


def test_labels_at_an_edge_are_moved_from_it() -> None:
    assert apart([0, 0], 0.2) == pytest.approx([0, 0.2])
    assert apart([1, 1], 0.2) == pytest.approx([0.8, 1])


def test_labels_that_have_no_room_rise() -> None:
    assert apart([0.5, 0.5, 0.5], 0.7) == pytest.approx([0, 0.7, 1.4])


@given(HEIGHTS, st.floats(0, 0.2))
def test_labels_are_in_order_a_gap_apart_and_inside(heights: list[float], gap: float) -> None:
    placed = apart(heights, gap)
    assert len(placed) == len(heights)
    assert all(other - one >= gap - 1e-9 for one, other in pairwise(placed))
    assert all(-1e-9 <= each <= 1 + 1e-9 for each in placed)


@given(HEIGHTS.filter(len), st.floats(0, 0.2), st.data())
def test_no_other_places_are_nearer(heights: list[float], gap: float, data: st.DataObject) -> None:
    places = st.lists(st.floats(0, 1), min_size=len(heights), max_size=len(heights)).map(sorted)
    others = apart(data.draw(places), gap)

    def distance(placed: list[float]) -> float:
        return sum((one - other) ** 2 for one, other in zip(placed, heights, strict=True))

    assert distance(apart(heights, gap)) <= distance(others) + 1e-9
