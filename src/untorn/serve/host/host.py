"""The reader of a host, and what it cost."""

from typing import NamedTuple

from untorn.reader.access.budget import Budget, Spent
from untorn.reader.access.limit import MAX_HOLD, check_limits
from untorn.reader.live_maps import LiveMaps
from untorn.serve.host.look import Looker
from untorn.serve.host.opened import OpenTexts
from untorn.serve.host.shared import Late, SharedLooks
from untorn.serve.host.watched import Kind, Watched
from untorn.serve.host.workers import Workers
from untorn.serve.text.text import Text

MAX_AGE = 1.0
"""Seconds; how old what is served may be, unless it is told otherwise."""
PATIENCE = 5.0
"""Seconds for which anybody waits, unless it is told otherwise: half of what a scrape may take."""
_MOST_THREADS = 64
"""That look at a time, or are stuck."""


class Costs(NamedTuple):
    """What looking cost since the host was opened."""

    spent: Spent
    """Of the budget, which others may spend, too."""
    late: int
    """How often somebody's patience ended before the look did."""
    failed: int
    """Looks that found nothing: the process was gone, or might not be looked at."""


class Host:
    """Reads the processes of a host for all who ask. May be used by any thread.

    A process is looked at by a thread of the host's own, with its rights: whoever asks for others
    judges before whether they may know.

    Args:
        proc: Where procfs is mounted.
        max_age: Seconds; how old what is served may be: a look that began no longer ago serves all
            who ask. 0 for none older than the question.
        patience: Seconds for which anybody waits for a look; it goes on after that, and serves the
            next who asks.
        late: What they get whose patience ends.
        max_hold: Seconds for which a lock of a process may be held at most by one call.
        budget: Of all looks together; None for the usual one.

    Attributes:
        open_texts: What open files show.

    Raises:
        ValueError: A time is not more than 0; max_age is less.
    """

    def __init__(
        self,
        *,
        proc: str = "/proc",
        max_age: float = MAX_AGE,
        patience: float = PATIENCE,
        late: Late = Late.LAST,
        max_hold: float = MAX_HOLD,
        budget: Budget | None = None,
    ) -> None:
        check_limits(patience, max_hold)
        self._patience = patience
        if not max_age >= 0:
            raise ValueError(f"an age of at most {max_age} s: it must not be less than 0")
        self._budget = budget or Budget()
        self._workers = Workers(_MOST_THREADS)
        self.open_texts = OpenTexts()
        self._looker = look = Looker(proc, max_hold, self._budget)
        self._looks = SharedLooks(
            look,
            self._workers,
            self._budget.look,
            max_age=max_age,
            patience=patience,
            late=late,
        )

    def text(self, process: Watched, kind: Kind) -> Text:
        """Return what a file of a process says; wait for it if that takes a look.

        Raises:
            OSError: ESRCH if the process is gone, or has no memory that smaps_rollup could sum up;
                EACCES or EPERM if this process may not look at it; ETIMEDOUT if it takes too long;
                EBUSY if numa_maps cannot be told without a longer hold than may be; ENOENT if this
                kernel has no such file; ESHUTDOWN if the host is closed.
        """
        return self._looks.text(process, kind)

    def cached(self, process: Watched, kind: Kind) -> Text | None:
        """Return what text() would return at once; None if it would wait for a look."""
        return self._looks.cached(process, kind)

    def is_quick(self, process: Watched, kind: Kind) -> bool:
        """Tell whether a look is likely to take a few milliseconds at most, as the last one did."""
        return self._looks.is_quick(process, kind)

    def open_maps(self, process: Watched) -> LiveMaps:
        """Return the maps of a process to be asked, with patience: see Looker.open_maps()."""
        return self._looker.open_maps(process, self._patience)

    def forget(self, process: Watched) -> None:
        """Let go of what is known of a process that is gone."""
        self._looks.forget(process)

    @property
    def costs(self) -> Costs:
        """What looking cost so far."""
        return Costs(self._budget.spent, self._looks.late, self._looks.failed)

    def close(self) -> None:
        """Look no more; whoever waits gets ESHUTDOWN. What is stuck in the kernel stays there."""
        self._looks.close()
        self._workers.close()
