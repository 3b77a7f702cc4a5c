"""Passes over all processes of a host: made when somebody asks, and one for all who ask meanwhile.

A pass looks at each process once, by a few threads, and ends in time whatever is stuck. What is
too large for it is counted in the background, and known as it was counted last.
"""

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from untorn.reader.access.crew import crew
from untorn.reader.access.task import pids_of
from untorn.reader.memories import Unread
from untorn.serve.export.counts import Counts
from untorn.serve.export.process_looks import LATE, Process, Seen

_THREADS = 1
"""Python runs but one at a time: with more, calls that hold a lock would wait for each other."""
_PART = 0.5
"""Of the time of a pass, that one look may take. What is stuck is not looked at in the next."""


class Looks(Protocol):
    """Looks at one process: see ProcessLooks."""

    @property
    def proc(self) -> str:
        """Where procfs is mounted."""

    def look(self, pid: int, known: Process | None) -> Seen | Unread | None:
        """Look at a process."""


class Survey(NamedTuple):
    """What is known of a host."""

    seen: Sequence[Seen]
    """Each process as it was seen last; without sums if it is large and was not counted yet."""
    skipped: Mapping[str, int]
    """How many processes were not read, or counted, when last tried, by the reason."""
    passes: int
    """How many there were so far."""
    seconds: float
    """That they took together."""
    pending: int
    """How many large processes are to be counted."""


class Passes:
    """Looks at all processes of a host when somebody asks, unless that was done just before.

    Args:
        looks: Looks at one.
        counts: Counts large ones.
        max_age: Seconds that figures may be old, by when the look began.
        patience: Seconds that a pass may take.
    """

    def __init__(self, looks: Looks, counts: Counts, *, max_age: float, patience: float) -> None:
        self._looks, self._counts = looks, counts
        self._max_age, self._patience = max_age, patience
        self._passing = threading.Lock()  # held during a pass; no other is taken before it
        # Protected by _passing:
        self._began = float("-inf")
        self._seen: dict[int, Seen] = {}
        self._skipped: Mapping[str, int] = {}
        self._passes, self._seconds = 0, 0.0

    def survey(self) -> Survey:
        """Return what is known, as new as it can be had in time.

        It takes the rest of a pass that began too long ago, and another pass, at most.

        Raises:
            OSError: ENOENT if there is no procfs; EMFILE or ENFILE if we may open no more files.
        """
        asked = time.monotonic()
        with self._passing:
            if self._began < asked - self._max_age:
                self._pass()
            seen, skipped = self._seen, Counter(self._skipped)
            passes, seconds = self._passes, self._seconds
        self._counts.wait(asked + self._patience)
        counted = self._counts.known()
        skipped.update(each.unread for each in counted.values() if each.unread)
        joined = [_with_sums(each, counted.get(each.process)) for each in seen.values()]
        return Survey(joined, skipped, passes, seconds, self._counts.pending())

    def _pass(self) -> None:
        """Look at all. Under the lock."""
        began = time.monotonic()
        known = {pid: seen.process for pid, seen in self._seen.items()}
        tally = _Tally(self._seen)
        looks = crew(
            lambda: lambda pid: self._looks.look(pid, known.get(pid)),
            self._in_turn(pids_of(self._looks.proc)),
            _THREADS,
            self._patience * _PART,
            began + self._patience,
        )
        for pid, found in looks:
            tally.add(pid, found)
        self._began, self._seen, self._skipped = began, tally.seen, tally.skipped
        self._passes, self._seconds = self._passes + 1, self._seconds + time.monotonic() - began
        large = {each.process: each.size for each in tally.seen.values() if each.is_large}
        self._counts.ask(large, began - self._max_age)

    def _in_turn(self, pids: list[int]) -> list[int]:
        """Return first what was seen the longest time ago: there may not be time for all."""
        return sorted(pids, key=lambda pid: _seen_at(self._seen.get(pid)))


class _Tally:
    """What one pass finds.

    Args:
        before: What was seen before: that is kept of a process which is not read now.

    Attributes:
        seen: By number, each process as it was seen last.
        skipped: How many processes were not read now, by the reason.
    """

    def __init__(self, before: Mapping[int, Seen]) -> None:
        self._before = before
        self.seen: dict[int, Seen] = {}
        self.skipped: Counter[str] = Counter()

    def add(self, pid: int, found: Seen | Unread | TimeoutError | None) -> None:
        """Add what was found of a process."""
        before = self._before.get(pid)
        if isinstance(found, Seen):
            is_same = before and before.process == found.process
            self.seen[pid] = before if found.unread and before and is_same else found
            if found.unread:
                self.skipped[found.unread] += 1
        elif isinstance(found, Unread):
            self.skipped[found.reason] += 1
        elif found:
            self.skipped[LATE] += 1
            if before:
                self.seen[pid] = before


def _seen_at(seen: Seen | None) -> float:
    """Return when a process was looked at; 0 if it was not."""
    return seen.maps.time if seen and seen.maps else 0


def _with_sums(seen: Seen, counted: Seen | None) -> Seen:
    """Return what was seen of a process, with what was counted of it, if it is large."""
    return seen._replace(sums=counted.sums) if seen.is_large and counted else seen
