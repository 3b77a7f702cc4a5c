"""The reader of a host, and its costs."""

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
"""How old served texts may be by default, in seconds."""
PATIENCE = 5.0
"""Seconds that a caller waits by default: half of what a scrape may take."""
_MOST_THREADS = 64
"""The most threads that look at a time, or are stuck."""


class Costs(NamedTuple):
    """What looking has cost since the host was opened."""

    spent: Spent
    """What was spent of the budget, which others may share."""
    late: int
    """How often a caller's patience ended before the look did."""
    failed: int
    """Looks without a result: the process was gone, or we may not look at it."""


class Host:
    """Reads the processes of a host for all callers. Any thread may use it.

    A thread of the host looks at a process, with the host's rights: a server must check first
    whether its client may know the result.

    Args:
        proc: Where procfs is mounted.
        max_age: How old served texts may be, in seconds: until then one look serves all callers. 0
            for none older than the question.
        patience: Seconds that a caller waits for a look; the look goes on after that, and serves
            the next one.
        late: What callers get when their patience ends.
        max_hold: Seconds that one call may hold a lock of a process.
        budget: The budget of all looks together; None for the usual one.

    Attributes:
        open_texts: What open files show.

    Raises:
        ValueError: A time is not above 0; or max_age is below 0.
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
        """Return the text of a process's file; wait if that takes a look.

        Raises:
            OSError: ESRCH if the process is gone, or has no memory that smaps_rollup could sum up;
                EACCES or EPERM if we may not look at it; ETIMEDOUT if it takes too long; EBUSY if
                numa_maps would need a longer hold than allowed; ENOENT if this kernel lacks the
                file; ESHUTDOWN if the host is closed.
        """
        return self._looks.text(process, kind)

    def cached(self, process: Watched, kind: Kind) -> Text | None:
        """Return what text() would return at once; None if it would wait for a look."""
        return self._looks.cached(process, kind)

    def is_quick(self, process: Watched, kind: Kind) -> bool:
        """Return whether a look probably takes a few milliseconds at most, as the last one did."""
        return self._looks.is_quick(process, kind)

    def open_maps(self, process: Watched) -> LiveMaps:
        """Return the maps of a process for queries, with patience: see Looker.open_maps()."""
        return self._looker.open_maps(process, self._patience)

    def forget(self, process: Watched) -> None:
        """Drop what is known of a process that is gone."""
        self._looks.forget(process)

    @property
    def costs(self) -> Costs:
        """What looking has cost so far."""
        return Costs(self._budget.spent, self._looks.late, self._looks.failed)

    def close(self) -> None:
        """Stop looking; waiting callers get ESHUTDOWN. Threads stuck in the kernel stay there."""
        self._looks.close()
        self._workers.close()
