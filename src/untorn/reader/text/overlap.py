"""Lines that overlap: the later one is the newer.

Since Linux 6.17 a map may change between two lines. A VMA that was shown and then grew, or was
merged with what follows, is shown again in its new form; so a line may begin below the end of the
line before it, never end below it.
"""

import numpy as np

from untorn.reader.text.columns import Columns


def first_descent(columns: Columns) -> int | None:
    """Return the first row that does not end above the one before it, None if all do."""
    backwards = columns.end[1:] <= columns.end[:-1]
    return int(backwards.argmax()) + 1 if backwards.any() else None


def resolve_overlaps(columns: Columns) -> tuple[Columns, int]:
    """Return the rows with what was shown twice in its newer form, and how many rows gave way.

    A row that a later one covers is dropped, one that reaches into it is cut where that begins.

    Raises:
        ValueError: A row ends where the one before it does, or below; the message has its number.
    """
    start, end = columns.start, columns.end
    backwards = first_descent(columns)
    if backwards is not None:
        raise ValueError(f"line {backwards + 1} of the maps does not end above the one before")
    newer = np.flatnonzero(start[1:] < end[:-1]) + 1
    if not len(newer):
        return columns, 0
    kept, end = np.ones(len(columns), np.bool_), end.copy()
    gave_way = 0
    for row in newer.tolist():
        older = row - 1
        while older >= 0 and start[older] >= start[row]:
            gave_way += int(kept[older])
            kept[older] = False
            older -= 1
        if older >= 0 and kept[older] and end[older] > start[row]:
            end[older] = start[row]
            gave_way += 1
    return columns.replace(end=end).take(np.flatnonzero(kept)), gave_way
