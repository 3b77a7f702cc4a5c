"""Long run: steps that are told before they are made, until all are made or an ending is asked for.

What a run came to so far is kept in a result, which also says whether it was interrupted: that is
returned in place of an exception, so that nothing that was measured is lost.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from untorn.processes.endings import endings_held, raise_ending

Report = Callable[[str, int, int], None]
"""Is told what is begun, how many steps were begun before, and how many there are in all.

The total is 0 where that is not known."""


def ignore(what: str, done: int, total: int) -> None:
    """Take no notice of a step."""


class Interruptible(Protocol):
    """What a run came to, complete or not.

    Attributes:
        interrupted: By Ctrl-C or SIGTERM.
    """

    interrupted: bool


@contextmanager
def until_ending(result: Interruptible) -> Iterator[None]:
    """Do what is inside under endings_held(); if an ending leaves the rest out, note that."""
    try:
        with endings_held():
            yield
    except KeyboardInterrupt:
        result.interrupted = True


class Progress:
    """The steps of a run.

    Attributes:
        total: How many there are; of a run that leaves some out, at most.
    """

    def __init__(self, total: int, report: Report) -> None:
        self.total, self._report = total, report
        self._begun = 0

    def begin(self, what: str) -> None:
        """Tell of the next step; raises KeyboardInterrupt if an ending was asked for before it."""
        raise_ending()
        self._report(what, self._begun, self.total)
        self._begun += 1
