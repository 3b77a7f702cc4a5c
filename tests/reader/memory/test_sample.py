"""Samples of invented memory, for which the right result is known."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from untorn.maps.page import PAGE_SIZE
from untorn.reader.memory.figure import Figure
from untorn.reader.memory.quantity import Counts, Quantity
from untorn.reader.memory.sample import Estimate, cut, estimate
from untorn.reader.text.columns import Numbers

CHUNK = 1 << 23
CHUNKS = 400
COST = 1.0
"""Seconds that a chunk takes, by the invented clock."""
DRAWS, LEAST_HELD = 400, 0.89
"""Of correct 95 % intervals, fewer hold once in two million runs."""


class World:
    """Ranges of addresses with resident pages, and a clock that counting advances.

    Args:
        pages: Number of resident pages in each chunk.
        ranges: Number of chunks in each range; by default one range with all.
    """

    def __init__(self, pages: Sequence[int], ranges: Sequence[int] = ()) -> None:
        self.pages = np.array(pages, np.int64)
        ends = np.cumsum(ranges or [len(pages)]) * CHUNK
        self.end: Numbers = ends.astype(np.uint64)
        self.start: Numbers = np.concatenate(([0], ends[:-1])).astype(np.uint64)
        self.now, self.looks = 0.0, 0

    def count(self, starts: Sequence[int], ends: Sequence[int]) -> Counts:
        counts = np.zeros((len(starts), len(Quantity)), np.int64)
        for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
            here = self.pages[start // CHUNK : end // CHUNK]
            counts[row, Quantity.RSS] = here.sum() * PAGE_SIZE
            self.now += COST * len(here)
            self.looks += len(here)
        return counts

    def estimate(self, seconds: float, seed: int) -> Estimate:
        """Make an estimate in so many seconds of the invented clock."""
        self.now, self.looks = 0.0, 0
        return estimate(
            self.count, self.start, self.end, CHUNK, seconds, seed=seed, clock=lambda: self.now
        )

    @property
    def rss(self) -> int:
        return int(self.pages.sum()) * PAGE_SIZE


def interval_of(world: World, found: Estimate) -> tuple[int, int]:
    """Return the 95 % interval of the sum of resident memory."""
    size = world.end - world.start
    counts, variance = found.counts[:, Quantity.RSS], found.variance[:, Quantity.RSS]
    figure = Figure.exact(counts).estimated(variance, size)
    least, most = figure.grouped(np.zeros(len(size), np.intp), 1).interval()
    return int(least[0]), int(most[0])


_PAGES = CHUNK // PAGE_SIZE
WORLDS: dict[str, Callable[[np.random.Generator], World]] = {
    "all there": lambda _: World([_PAGES] * CHUNKS),
    "nothing there": lambda _: World([0] * CHUNKS),
    "alike": lambda chance: World(chance.binomial(_PAGES, 0.4, CHUNKS).tolist()),
    "in clumps": lambda chance: World(
        np.repeat(chance.integers(0, 2, CHUNKS // 8) * _PAGES, 8).tolist()
    ),
    "here and there": lambda chance: World((chance.random(CHUNKS) < 0.3).astype(int).tolist()),
    "all or nothing": lambda chance: World((chance.integers(0, 2, CHUNKS) * _PAGES).tolist()),
    "rare": lambda chance: World(((chance.random(CHUNKS) < 0.05) * _PAGES).tolist()),
    "more and more": lambda _: World(np.linspace(0, _PAGES, CHUNKS).astype(int).tolist()),
    "several ranges": lambda chance: World(
        chance.integers(0, _PAGES, CHUNKS).tolist(), (1, 2, 3, 94, 100, 200)
    ),
}


@pytest.mark.parametrize("kind", WORLDS)
@pytest.mark.parametrize("seconds", [40, 120])
def test_an_interval_holds_as_often_as_it_says(kind: str, seconds: float) -> None:
    world = WORLDS[kind](np.random.default_rng(1))
    held, sums = 0, []
    for seed in range(DRAWS):
        found = world.estimate(seconds, seed)
        least, most = interval_of(world, found)
        held += least <= world.rss <= most
        sums.append(int(found.counts[:, Quantity.RSS].sum()))
    assert held >= LEAST_HELD * DRAWS
    off = abs(np.mean(sums) - world.rss)
    assert off <= 6 * np.std(sums) / DRAWS**0.5 + 1, "it is biased"


def test_more_time_makes_an_estimate_better() -> None:
    world = WORLDS["all or nothing"](np.random.default_rng(1))
    widths = []
    for seconds in 30, 100, 300:
        least, most = interval_of(world, world.estimate(seconds, seed=3))
        widths.append(most - least)
    assert widths == sorted(widths, reverse=True)
    assert widths[2] < widths[0] / 3


@given(seconds=st.floats(5, 380), seed=st.integers(0, 1 << 32))
def test_the_time_is_kept(seconds: float, seed: int) -> None:
    world = World([1] * CHUNKS)
    world.estimate(seconds, seed)
    assert world.now <= seconds + COST
    assert world.looks >= min(seconds / COST * 0.3, CHUNKS) - 4


@given(seed=st.integers(0, 1 << 32))
def test_with_time_for_all_nothing_is_estimated(seed: int) -> None:
    world = World(list(range(CHUNKS)), (1, 2, 97, 300))
    found = world.estimate(10 * COST * CHUNKS, seed)
    assert int(found.counts[:, Quantity.RSS].sum()) == world.rss
    assert not found.variance.any()
    assert world.looks == CHUNKS


@given(seed=st.integers(0, 1 << 32))
def test_small_ranges_are_counted_whole_while_there_is_time(seed: int) -> None:
    found = World([7] * 103, (1, 2, 100)).estimate(1, seed)
    assert found.counts[:2, Quantity.RSS].tolist() == [7 * PAGE_SIZE, 14 * PAGE_SIZE]
    assert not found.variance[:2].any()
    assert found.looked_at.all()
    late = World([7] * 103, (1, 2, 100)).estimate(0, seed)
    assert late.looked_at.tolist() == [False, False, True]


class _Range(NamedTuple):
    start: int
    end: int


RANGES = st.lists(st.integers(0, 400), unique=True, min_size=2, max_size=12).map(
    lambda edges: [_Range(*pair) for pair in zip(*[iter(sorted(edges))] * 2, strict=False)]
)


@given(RANGES, st.sampled_from([1, 2, 8, 64]))
def test_ranges_are_cut_at_each_multiple_of_the_size(ranges: list[_Range], size: int) -> None:
    start, end = (np.array(each, np.uint64) for each in zip(*ranges, strict=True))
    chunks = cut(start, end, np.arange(len(start)), size)
    found = list(zip(*(each.tolist() for each in chunks), strict=True))
    expected = [
        (max(first, each.start), min(first + size, each.end), row)
        for row, each in enumerate(ranges)
        for first in range(each.start // size * size, each.end, size)
    ]
    assert found == expected
