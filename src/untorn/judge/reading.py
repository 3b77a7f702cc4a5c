"""Reading: what one pass over a map showed, and when."""

from collections.abc import Sequence
from typing import NamedTuple

from untorn.maps.entry import MapsEntry


class Fill(NamedTuple):
    """Lines that were collected together: a fill of a seq_file's buffer, or one query.

    A read() is a fill only if nothing was left over from the read() before, and nothing is left
    by it: bytes that are left are returned by the next read(), whose window they do not have.
    """

    lines: Sequence[MapsEntry]
    """In the order shown; none where there was nothing more."""
    first: int
    """Version of the state that was current when it began, or an earlier one."""
    last: int
    """Version of the state that was current when it ended, or a later one."""


class Reading(NamedTuple):
    """A pass, from address 0."""

    fills: Sequence[Fill]
    ended_from: int | None = None
    """Number of the first fill that may have found nothing after the last line; what came after
    it showed nothing. None if the pass was not made to the end."""

    @classmethod
    def of_text(cls, fills: Sequence[Fill]) -> "Reading":
        """Return the reading of a file to its end: a last fill without lines, or more of them.

        The fill that showed the last line may have looked beyond it already.
        """
        with_lines = [number for number, fill in enumerate(fills) if fill.lines]
        return cls(fills, with_lines[-1] if with_lines else 0)

    @classmethod
    def of_queries(cls, fills: Sequence[Fill]) -> "Reading":
        """Return the reading of a walk by queries: one line each, the last found nothing."""
        return cls(fills, len(fills) - 1)
