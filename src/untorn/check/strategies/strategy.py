"""Strategy: the seam between an execution and who decides about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from untorn.check.execution import Execution


class Strategy(Protocol):
    """Who runs next, and which schedule comes after this one."""

    tracks: bool
    """Whether it wants to know what happened before what; races are found only then."""

    def begin(self, run: Execution) -> int:
        """Start a schedule; return how many steps at its start are those of the one before."""

    def pick(self) -> int:
        """Return the task whose step is made next; run.hub to end the schedule here."""

    def end(self) -> bool:
        """Take in the schedule that ended; say whether there is another one."""
