"""Find the fewest and simplest items with which something still fails: steps, switches...

Source: A. Zeller, R. Hildebrandt: Simplifying and Isolating Failure-Inducing Input, IEEE
Transactions on Software Engineering 28(2), 2002.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from typing import TypeVar

T = TypeVar("T")
_PAIRS_UP_TO = 16
"""Try to remove pairs from at most this many items: that is cheaper than many runs of items."""


def fewest(items: list[T], attempt: Callable[[list[T]], list[T] | None]) -> list[T]:
    """Return items of which none can be removed alone.

    It removes runs of neighbours: all items at once, then half of them, then ever shorter runs.

    Args:
        items: Items with which it fails; if their order matters, the first to remove comes first.
        attempt: Tries fewer items, in the same order. Returns those with which it failed, which may
            be fewer still; None if it did not fail.
    """
    size = len(items)
    while size:
        starts = range(0, len(items), size)
        fewer = _first_failing((items[:at] + items[at + size :] for at in starts), attempt)
        if fewer is None:
            size //= 2
        else:
            items = fewer
    return items


def shrink(
    items: list[T], fails: Callable[[list[T]], bool], simpler: Callable[[T], Iterable[T]]
) -> list[T]:
    """Return the items without those that can be removed, and simplified where possible.

    Args:
        items: Items with which it fails.
        fails: Returns whether it fails with fewer or simpler ones, in the same order.
        simpler: Yields items to try instead of one.

    Returns:
        Items of which none can be removed alone.
    """

    def attempt(fewer: list[T]) -> list[T] | None:
        return fewer if fails(fewer) else None

    items = _without_pairs(fewest(items, attempt), attempt)
    for number in range(len(items)):
        items = _first_failing(_simpler(items, number, simpler), attempt) or items
    return fewest(items, attempt)


def _without_pairs(items: list[T], attempt: Callable[[list[T]], list[T] | None]) -> list[T]:
    """Return items without pairs of which each was needed only by the other."""
    if not 2 < len(items) <= _PAIRS_UP_TO:
        return items
    pairs = combinations(range(len(items)), 2)
    fewer = _first_failing(
        ([item for at, item in enumerate(items) if at not in pair] for pair in pairs), attempt
    )
    return items if fewer is None else _without_pairs(fewer, attempt)


def _simpler(items: list[T], number: int, simpler: Callable[[T], Iterable[T]]) -> Iterator[list[T]]:
    for other in simpler(items[number]):
        yield [*items[:number], other, *items[number + 1 :]]


def _first_failing(
    candidates: Iterable[list[T]], attempt: Callable[[list[T]], list[T] | None]
) -> list[T] | None:
    return next((kept for each in candidates if (kept := attempt(each)) is not None), None)
