"""The shortest and simplest script that still shows a mismatch.

Source: A. Zeller, R. Hildebrandt: Simplifying and Isolating Failure-Inducing Input, IEEE
Transactions on Software Engineering 28(2), 2002: the algorithm ddmin.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from typing import TypeVar

T = TypeVar("T")
_PAIRS_UP_TO = 16
"""Items among which pairs are tried: fewer than what ddmin tries for a long script."""


def shrink(
    items: list[T], fails: Callable[[list[T]], bool], simpler: Callable[[T], Iterable[T]]
) -> list[T]:
    """Return items without all that can be left out, and simpler where they can be.

    Args:
        items: With these it fails.
        fails: Whether it does with fewer or simpler ones, in the same order.
        simpler: Items to try in place of one.

    Returns:
        Items of which none can be left out alone.
    """
    items = _without_pairs(_ddmin(items, fails), fails)
    for number in range(len(items)):
        items = _first_failing(_simpler(items, number, simpler), fails) or items
    return _ddmin(items, fails)


def _ddmin(items: list[T], fails: Callable[[list[T]], bool]) -> list[T]:
    chunks = 2
    while len(items) >= 2:
        size = -(-len(items) // chunks)
        starts = range(0, len(items), size)
        fewer = _first_failing((items[:at] + items[at + size :] for at in starts), fails)
        if fewer is not None:
            items, chunks = fewer, max(chunks - 1, 2)
        elif size == 1:
            break
        else:
            chunks = min(2 * chunks, len(items))
    return items


def _without_pairs(items: list[T], fails: Callable[[list[T]], bool]) -> list[T]:
    """Return items without two that were there only for each other."""
    if not 2 < len(items) <= _PAIRS_UP_TO:
        return items
    pairs = combinations(range(len(items)), 2)
    fewer = _first_failing(
        ([item for at, item in enumerate(items) if at not in pair] for pair in pairs), fails
    )
    return items if fewer is None else _without_pairs(fewer, fails)


def _simpler(items: list[T], number: int, simpler: Callable[[T], Iterable[T]]) -> Iterator[list[T]]:
    for other in simpler(items[number]):
        yield [*items[:number], other, *items[number + 1 :]]


def _first_failing(
    candidates: Iterable[list[T]], fails: Callable[[list[T]], bool]
) -> list[T] | None:
    return next((each for each in candidates if fails(each)), None)
