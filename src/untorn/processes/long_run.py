"""Long run: each part is reported before it is made, until all are made or an ending comes.

The results so far are kept in an object that also says whether the run was interrupted. It is
returned instead of an exception, so that nothing that was measured is lost.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from untorn.processes.endings import endings_held, raise_ending

Report = Callable[[str, int, int], None]
"""Called with the part that begins, how many parts began before it, and how many there are.

The last number is 0 if that is not known."""


def ignore(what: str, done: int, total: int) -> None:
    """Ignore the report of a part."""


class Interruptible(Protocol):
    """The results of a run, complete or not.

    Attributes:
        interrupted: Whether Ctrl-C or SIGTERM ended it.
    """

    interrupted: bool


@contextmanager
def until_ending(result: Interruptible) -> Iterator[None]:
    """Run what is inside under endings_held(); if an ending cuts it short, note that."""
    try:
        with endings_held():
            yield
    except KeyboardInterrupt:
        result.interrupted = True


class Progress:
    """The parts of a run.

    Attributes:
        total: How many parts there are; if a run may skip some, at most.
    """

    def __init__(self, total: int, report: Report) -> None:
        self.total, self._report = total, report
        self._begun = 0

    def begin(self, what: str) -> None:
        """Report the next part; raise KeyboardInterrupt if an ending was asked for before it."""
        raise_ending()
        self._report(what, self._begun, self.total)
        self._begun += 1
