"""Sets of tasks as bits of an integer: tasks are few, and sets of them made at every step."""

from functools import cache


@cache
def members(mask: int) -> tuple[int, ...]:
    """Return the tasks of a mask, in order."""
    return tuple(task for task in range(mask.bit_length()) if mask >> task & 1)
