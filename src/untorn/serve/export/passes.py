"""Passes over all processes of a host: made on demand, one for all clients that ask meanwhile.

A pass looks at each process once, with a few threads, and ends in time even if some are stuck.
Processes that are too large for it are counted in the background, and shown as last counted.
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from untorn.reader.access.crew import crew
from untorn.reader.access.task import pids_of
from untorn.reader.memories import Unread
from untorn.serve.export.counts import Counts
from untorn.serve.export.process_looks import LATE, Process, Seen

_THREADS = 1
"""Python runs one thread at a time: with more, calls that hold a lock would wait for each other."""
_PART = 0.5
"""The part of a pass's time that one look may take. The next pass skips what is stuck."""


class Looks(Protocol):
    """Looks at one process: see ProcessLooks."""

    @property
    def proc(self) -> str:
        """Where procfs is mounted."""

    def look(self, pid: int, known: Process | None) -> Seen | Unread | None:
        """Look at a process."""

    def lives(self, process: Process) -> bool:
        """Return whether a process still exists."""


class Survey(NamedTuple):
    """What is known of a host."""

    seen: Sequence[Seen]
    """Each process as last seen; without sums if it is large and was not counted yet."""
    skipped: Mapping[str, int]
    """How many processes could not be read, or counted, in the last try, by reason."""
    passes: int
    """How many passes there were so far."""
    seconds: float
    """Time of all passes together."""
    pending: int
    """How many large processes wait to be counted."""


class _Pass(NamedTuple):
    """The result of the last pass."""

    began: float
    """Time by the monotonic clock."""
    seen: Mapping[int, Seen]
    """By PID."""
    skipped: Mapping[str, int]
    passes: int
    """How many passes there were so far."""
    seconds: float
    """Time of all passes together."""


class Passes:
    """Looks at all processes of a host on request, unless that was just done.

    Args:
        looks: Looks at one process.
        counts: Counts large ones.
        max_age: How old figures may be, in seconds since the look began.
        patience: Seconds that a request may wait.
    """

    def __init__(self, looks: Looks, counts: Counts, *, max_age: float, patience: float) -> None:
        self._looks, self._counts = looks, counts
        self._max_age, self._patience = max_age, patience
        self._passing = threading.Lock()  # held during a pass; taken before _lock
        self._lock = threading.Lock()
        self._last = _Pass(-math.inf, {}, {}, 0, 0)  # protected by _lock; written under both locks

    def survey(self) -> Survey:
        """Return what is known, as new as time permits.

        Half of the time may go to waiting for another thread's pass, or for counts.

        Raises:
            OSError: ENOENT if there is no procfs; EMFILE or ENFILE if we may open no more files.
        """
        asked, half = time.monotonic(), self._patience / 2
        if self._passing.acquire(timeout=half):
            try:
                if self._known().began < asked - self._max_age:
                    self._pass(asked + self._patience)
            finally:
                self._passing.release()
        self._counts.wait(asked + half)
        last, counted = self._known(), self._counts.known()
        seen = [_with_sums(each, counted.get(each.process)) for each in last.seen.values()]
        skipped = Counter(last.skipped)
        skipped.update(each.unread for each in counted.values() if each.unread)
        return Survey(seen, skipped, last.passes, last.seconds, self._counts.pending())

    def _known(self) -> _Pass:
        with self._lock:
            return self._last

    def _pass(self, deadline: float) -> None:
        """Look at all processes. Under _passing."""
        began, last = time.monotonic(), self._known()
        tally = _Tally(last.seen, self._looks.lives)
        known = {pid: seen.process for pid, seen in last.seen.items()}
        looks = crew(
            lambda: lambda pid: self._looks.look(pid, known.get(pid)),
            _in_turn(pids_of(self._looks.proc), last.seen),
            _THREADS,
            (deadline - began) * _PART,
            deadline,
        )
        for pid, found in looks:
            tally.add(pid, found)
        seconds = last.seconds + time.monotonic() - began
        with self._lock:
            self._last = _Pass(began, tally.seen, tally.skipped, last.passes + 1, seconds)
        large = {each.process: each.size for each in tally.seen.values() if each.is_large}
        self._counts.ask(large, began - self._max_age)


def _in_turn(pids: list[int], seen: Mapping[int, Seen]) -> list[int]:
    """Return the longest unseen processes first: there may not be time for all."""
    return sorted(pids, key=lambda pid: _seen_at(seen.get(pid)))


class _Tally:
    """What one pass finds.

    Args:
        before: What was seen before: kept for processes that cannot be read now.
        lives: Returns whether a process still exists.

    Attributes:
        seen: By PID, each process as last seen.
        skipped: How many processes could not be read now, by reason.
    """

    def __init__(self, before: Mapping[int, Seen], lives: Callable[[Process], bool]) -> None:
        self._before, self._lives = before, lives
        self.seen: dict[int, Seen] = {}
        self.skipped: Counter[str] = Counter()

    def add(self, pid: int, found: Seen | Unread | TimeoutError | None) -> None:
        """Add the result of a look at a process."""
        if isinstance(found, Seen):
            self._add_seen(pid, found)
        elif isinstance(found, Unread):
            self.skipped[found.reason] += 1
        elif found:
            self.skipped[LATE] += 1
            before = self._before.get(pid)
            if before and self._lives(before.process):
                self.seen[pid] = before

    def _add_seen(self, pid: int, seen: Seen) -> None:
        """Add it, with what was known before of the same process and is unknown now."""
        before = self._before.get(pid)
        same = before if before and before.process == seen.process else None
        if seen.unread:
            self.skipped[seen.unread] += 1
            self.seen[pid] = same or seen
        elif seen.is_large and same:
            self.seen[pid] = seen._replace(sums=same.sums)
        else:
            self.seen[pid] = seen


def _seen_at(seen: Seen | None) -> float:
    """Return when a process was looked at; -inf if it never was."""
    return seen.maps.time if seen and seen.maps else -math.inf


def _with_sums(seen: Seen, counted: Seen | None) -> Seen:
    """Return what was seen of a process, with its counts if it is large."""
    return seen._replace(sums=counted.sums) if counted and counted.sums else seen
