"""What was measured of some VMAs at one time, and several such parts joined."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from untorn.reader.diff import same_rows
from untorn.reader.memory.figure import Figure
from untorn.reader.memory.figures import Figures
from untorn.reader.memory.memory import FIELDS, PARTS, How
from untorn.reader.memory.smaps_text import SmapsText
from untorn.reader.text.columns import Columns, Numbers, Rows


class Part(NamedTuple):
    """What was measured at one time."""

    columns: Columns
    figures: Figures
    how: npt.NDArray[np.str_]
    """One How per row."""
    smaps: SmapsText | None = None
    """The text, if it was read from smaps."""


def missing(columns: Columns, parts: Sequence[Part]) -> Rows:
    """Return the rows that no part has in their present form."""
    known = np.zeros(len(columns), np.bool_)
    for part in parts:
        known[same_rows(part.columns, columns)[1]] = True
    return np.flatnonzero(~known)


def how_of(columns: Columns, parts: Sequence[Part]) -> list[How]:
    """Return how each row was measured."""
    how = np.full(len(columns), How.NOTHING, "<U8")
    for part in parts:
        theirs, ours = same_rows(part.columns, columns)
        how[ours] = part.how[theirs]
    return [How(each) for each in how.tolist()]


def figures_of_parts(columns: Columns, parts: Sequence[Part]) -> Figures:
    """Return the figures of all rows; a row that no part has is at most as large as its VMA."""
    size = columns.end - columns.start
    rows = [same_rows(part.columns, columns) for part in parts]
    figures: Figures = {"size": Figure.exact(size)}
    for name in (*FIELDS[1:], *PARTS):
        if any(name in part.figures for part in parts):
            joined = _Joined(size)
            for part, (theirs, ours) in zip(parts, rows, strict=True):
                if name in part.figures:
                    joined.put(ours, part.figures[name], theirs)
            figures[name] = joined.figure()
    return figures


class _Joined:
    """One figure for all rows, joined from parts."""

    def __init__(self, size: Numbers) -> None:
        self._low, self._high, self._most = np.zeros_like(size), size.copy(), size.copy()
        self._variance = np.zeros(len(size))

    def put(self, rows: Rows, figure: Figure, theirs: Rows) -> None:
        """Copy rows of a figure into these rows."""
        self._low[rows], self._high[rows] = figure.low[theirs], figure.high[theirs]
        if figure.variance is not None and figure.most is not None:
            self._variance[rows], self._most[rows] = figure.variance[theirs], figure.most[theirs]

    def figure(self) -> Figure:
        """Return the figure."""
        return Figure.between(self._low, self._high).estimated(self._variance, self._most)


def smaps_of(part: Part, columns: Columns) -> SmapsText | None:
    """Return what smaps says of these VMAs, if it has all of them."""
    theirs, ours = same_rows(part.columns, columns)
    if part.smaps is None or len(ours) < len(columns):
        return None
    fields = {name: values[theirs] for name, values in part.smaps.fields.items()}
    flags = [part.smaps.flags[row] for row in theirs.tolist()]
    return part.smaps._replace(columns=columns, fields=fields, flags=flags)
