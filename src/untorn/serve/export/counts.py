"""Count large processes in the background, one after the other.

A thread counts as long as there is something to count, and ends after that.
"""

import math
import threading
import time
from collections.abc import Mapping
from typing import Protocol

from untorn.reader.access.crew import crew
from untorn.serve.export.process_looks import LATE, Process, Seen


class Counter(Protocol):
    """Counts one process: see ProcessLooks."""

    def count(self, process: Process) -> Seen | None:
        """Return what it has in memory; None if it is gone."""

    def time_to_count(self, process: Process) -> float:
        """Return how many seconds that may take. Raises OSError if it is gone."""


class Counts:
    """What large processes have in memory, from the last count of each.

    Args:
        counter: Counts one process.
    """

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._changed = threading.Condition()  # protects everything below
        self._known: dict[Process, Seen] = {}  # of the processes that were asked for last
        self._due: list[Process] = []  # in the order of counting
        self._now: Process | None = None  # the process being counted
        self._began = 0.0  # when that began, by the monotonic clock, like all times here
        self._running = False  # whether the thread runs

    def ask(self, sizes: Mapping[Process, int], since: float) -> None:
        """Request counts of those that were not counted since a time; forget all others.

        Args:
            sizes: By process, about how many bytes it has in memory.
            since: A time of the monotonic clock.
        """
        with self._changed:
            self._known = {each: seen for each, seen in self._known.items() if each in sizes}
            due = [each for each in sizes if self._counted_at(each) < since and each != self._now]
            # The longest wait comes first, so that none waits for ever; of new ones, the smallest.
            self._due = sorted(due, key=lambda each: (self._counted_at(each), sizes[each]))
            if self._due and not self._running:
                threading.Thread(target=self._run, name="untorn-counts", daemon=True).start()
                self._running = True

    def wait(self, deadline: float) -> None:
        """Wait until every count is done that can be done by then, as far as we know."""
        with self._changed:
            while self._running and (left := deadline - time.monotonic()) > 0:
                if self._next_end() > deadline:
                    return
                self._changed.wait(left)

    def known(self) -> dict[Process, Seen]:
        """Return the counts of the processes that were asked for last."""
        with self._changed:
            return dict(self._known)

    def pending(self) -> int:
        """Return how many wait to be counted, or are being counted."""
        with self._changed:
            return len(self._due) + (self._now is not None)

    def _counted_at(self, process: Process) -> float:
        """Return when its count began; -inf if it was never counted. Under the lock."""
        sums = self._known[process].sums if process in self._known else None
        return sums.time if sums else -math.inf

    def _next_end(self) -> float:
        """Return when the next count will be done, as far as we know. Under the lock."""
        process = self._now or next(iter(self._due), None)
        sums = self._known[process].sums if process in self._known else None
        began = self._began if self._now else time.monotonic()
        return began + (sums.took if sums else 0)

    def _run(self) -> None:
        try:
            while process := self._next():
                self._note(process, self._count(process))
        except BaseException:  # a defect of ours: report it; the next request starts anew
            with self._changed:
                self._now, self._running = None, False
                self._changed.notify_all()
            raise

    def _note(self, process: Process, seen: Seen | None) -> None:
        with self._changed:
            self._now = None
            if seen:
                self._known[process] = self._or_before(seen)
            self._changed.notify_all()

    def _or_before(self, seen: Seen) -> Seen:
        """Return it; if it could not be counted now, with its earlier counts. Under the lock."""
        before = self._known.get(seen.process)
        return seen._replace(sums=before.sums) if seen.unread and before else seen

    def _next(self) -> Process | None:
        """Return the next process; None, and end, if there is none."""
        with self._changed:
            self._running = bool(self._due)
            if not self._running:
                self._changed.notify_all()
                return None
            self._now, self._began = self._due.pop(0), time.monotonic()
            return self._now

    def _count(self, process: Process) -> Seen | None:
        """Count it in another thread, which is left behind if it is stuck."""
        try:
            limit = self._counter.time_to_count(process)
        except OSError:
            return None
        (counted,) = crew(lambda: lambda _: self._counter.count(process), [process.pid], 1, limit)
        _, seen = counted
        return Seen(process, unread=LATE) if isinstance(seen, TimeoutError) else seen
