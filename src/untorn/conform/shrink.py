"""The shortest script that still shows a mismatch: delta debugging.

Source: A. Zeller, R. Hildebrandt: Simplifying and Isolating Failure-Inducing Input, IEEE
Transactions on Software Engineering 28(2), 2002: the algorithm ddmin.
"""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def shrink(items: list[T], fails: Callable[[list[T]], bool]) -> list[T]:
    """Return items without all that can be left out.

    Args:
        items: With these it fails.
        fails: Whether it does with fewer of them, in the same order.

    Returns:
        Items of which none can be left out alone.
    """
    chunks = 2
    while len(items) >= 2:
        size = -(-len(items) // chunks)
        for start in range(0, len(items), size):
            fewer = items[:start] + items[start + size :]
            if fails(fewer):
                items = fewer
                chunks = max(chunks - 1, 2)
                break
        else:
            if size == 1:
                break
            chunks = min(2 * chunks, len(items))
    return items
