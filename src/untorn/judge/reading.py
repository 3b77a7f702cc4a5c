"""Reading: what one pass over a map showed, and when."""

from collections.abc import Sequence
from typing import NamedTuple

from untorn.maps.entry import MapsEntry


class Fill(NamedTuple):
    """Lines that were collected together: a fill of a seq_file's buffer, or one query.

    A read() is a fill only if the read() before left nothing over and it leaves nothing over
    itself: left-over bytes are returned by the next read(), whose window is another one.
    """

    lines: Sequence[MapsEntry]
    """In the order shown; empty if there was nothing more."""
    first: int
    """Version of the state that was current when the fill began, or an earlier one."""
    last: int
    """Version of the state that was current when the fill ended, or a later one."""


class Reading(NamedTuple):
    """A pass, from address 0."""

    fills: Sequence[Fill]
    ended_from: int | None = None
    """Number of the first fill that may have found nothing after the last line; later fills
    showed nothing. None if the pass was not made to the end."""

    @classmethod
    def of_text(cls, fills: Sequence[Fill]) -> "Reading":
        """Return the reading of a file to its end, where one or more of the last fills are empty.

        The fill that showed the last line may already have looked beyond it.
        """
        with_lines = [number for number, fill in enumerate(fills) if fill.lines]
        return cls(fills, with_lines[-1] if with_lines else 0)

    @classmethod
    def of_queries(cls, fills: Sequence[Fill]) -> "Reading":
        """Return the reading of a walk by queries: one line each; the last query found nothing."""
        return cls(fills, len(fills) - 1)
