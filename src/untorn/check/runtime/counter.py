"""AtomicInt: sync's counter, whose every operation is one step."""

from __future__ import annotations

from collections.abc import Callable

from untorn.check.runtime import running
from untorn.check.runtime.location import COUNT, COUNT_IN, COUNT_OUT, READ, WRITE

NO_LIMIT = 1 << 62
MARGIN = 64
"""More than the steps of one counter that can be pending at once."""


class AtomicInt:
    """An integer; every operation is one step.

    Readers that count themselves in and out commute, as long as the count stays away from 0, from
    the limit and from the writer's flag: nothing uses more of a result than which of these it met.
    So the count must include more than the readers (at least one other count), and be far below the
    limit.

    Attributes:
        value: The integer.
        counted: How many times each task is counted in by add_not_zero(1) or
            inc_not_zero_limited().
        emptied: Called when the last count of a reader or user goes.
    """

    __slots__ = ("_limit", "counted", "emptied", "location", "value")

    def __init__(self, value: int = 0) -> None:
        self.value = value
        self.counted: dict[int, int] = {}
        self.emptied: Callable[[], None] | None = None
        self._limit = NO_LIMIT
        self.location = running.location("counter", counter=self)

    def load(self) -> int:
        """Return the value."""
        running.point(self.location, READ)
        return self.value

    def store(self, value: int) -> None:
        """Set the value."""
        running.point(self.location, WRITE)
        self.value = value

    def add(self, delta: int) -> int:
        """Add delta; return the new value."""
        # Only a task that counted itself in can count itself out. Any other -1, such as that of a
        # writer that detaches a VMA, changes the base below the readers' counts.
        run = running.run
        mine = delta == -1 and run is not None and self.counted.get(run.current, 0) > 0
        running.point(self.location, COUNT_OUT if mine else WRITE)
        if mine:
            self._count(-1)
        # The announcement is over: from here to the return this is one piece, as no task runs
        # before the next point.
        self.value += delta
        if self.value == 0 and self.emptied is not None:
            self.emptied()
        return self.value

    def add_not_zero(self, delta: int) -> bool:
        """Add delta unless the value is 0."""
        running.point(self.location, COUNT_IN if delta == 1 else WRITE)
        if self.value == 0:
            return False
        if delta == 1:
            self._count(1)
        self.value += delta
        return True

    def inc_not_zero_limited(self, limit: int) -> int:
        """Add 1 unless the value is 0 or at least limit; return the value found."""
        self._limit = limit  # kind_of() is asked while the step is being chosen
        running.point(self.location, COUNT_IN)
        found = self.value
        if 0 < found < limit:
            self._count(1)
            self.value = found + 1
        return found

    def kind_of(self, kind: int) -> int:
        """Return what COUNT_IN or COUNT_OUT is at this moment.

        COUNT only if no other order of COUNTs could bring the count to where order matters: the
        part that is not readers' stays at least 1, and the limit (or a writer's flag, above it) is
        far.
        """
        # Called when the step is chosen, right before it is made, so the value is the one it meets.
        value = self.value
        if kind == COUNT_IN and not 0 < value < self._limit:
            return READ
        # counted says how many readers are in. Readers do not change the rest of the value, so they
        # alone cannot bring it to 0. MARGIN keeps readers that are about to enter from reaching the
        # limit, in any order.
        plain = sum(self.counted.values()) < value < self._limit - MARGIN
        return COUNT if plain else WRITE

    def _count(self, delta: int) -> None:
        run = running.run
        if run is not None:
            self.counted[run.current] = self.counted.get(run.current, 0) + delta
