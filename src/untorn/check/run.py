"""A run of the checker, spread over processes by scenarios and their parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import replace
from functools import reduce

from untorn.check.checkpoint import Checkpoint
from untorn.check.explore import Exploration
from untorn.check.parts import Part, total
from untorn.check.work import Start, Work, WorkOutcome, WorkPart, do_part
from untorn.errors import OutOfReachError
from untorn.processes.endings import ending_taken, endings_held
from untorn.processes.told import told_to_stop
from untorn.spread.arrivals import Arrivals
from untorn.spread.pool import Pool

_LOOK_EVERY = 64
"""Schedules after which a worker checks whether it should stop."""


def make(work: Work, start: Start) -> WorkPart:
    """Make a part of a work, in a worker."""
    return do_part(work, start, _stop)


def _stop(found: Exploration) -> bool:
    return not found.played % _LOOK_EVERY and told_to_stop()


class Interrupted(KeyboardInterrupt):
    """A run was ended from outside.

    Attributes:
        unfinished: The partial results of explorations that were begun.
    """

    def __init__(self, unfinished: list[WorkOutcome]) -> None:
        super().__init__()
        self.unfinished = unfinished


def run(checkpoint: Checkpoint, pool: Pool) -> Iterator[WorkOutcome]:
    """Explore everything that is left; yield outcomes as they arrive.

    Args:
        checkpoint: What to explore; the first are begun first.
        pool: The workers; closed afterwards.

    Raises:
        Interrupted: Ctrl-C or SIGTERM came; nothing is left running.
        OutOfReachError: A worker died, or cannot explore.
    """
    with endings_held():  # an executor that is interrupted in its own code may never end
        interrupted = False
        try:
            with Arrivals[WorkPart]() as arrivals:
                yield from _Run(checkpoint, pool, arrivals).outcomes()
        except Interrupted:
            interrupted = True
            raise
        finally:
            pool.close()
            if interrupted:
                ending_taken()  # another one meanwhile adds nothing


class _Run:
    def __init__(self, checkpoint: Checkpoint, pool: Pool, arrivals: Arrivals[WorkPart]) -> None:
        self._checkpoint = checkpoint
        self._pool = pool
        self._arrivals = arrivals
        self._of: dict[Future[WorkPart], tuple[Work, Part]] = {}

    def outcomes(self) -> Iterator[WorkOutcome]:
        try:
            for work, part in self._checkpoint.parts.items():
                self._hand_out(work, part.left())
                yield from _outcome_of(part)
            while self._of:
                yield from self._take(self._arrivals.next())
                self._checkpoint.save_now_and_then()
        except KeyboardInterrupt:
            raise Interrupted(self._break_off()) from None
        except OutOfReachError:
            if ending_taken():  # a signal to all processes of the group
                raise Interrupted(self._break_off()) from None
            raise
        finally:
            self._checkpoint.save()

    def _hand_out(self, work: Work, parts: Iterable[Part]) -> None:
        for part in parts:
            future = self._pool.submit(make, work, part.start)
            self._of[self._arrivals.expect(future)] = work, part

    def _take(self, future: Future[WorkPart]) -> Iterator[WorkOutcome]:
        work, part = self._of.pop(future)
        if part.dropped:
            return
        made = self._pool.result(future, work.scenario)
        self._hand_out(work, part.take(made))
        if made.outcome.failure:
            self._cancel_dropped()
        yield from _outcome_of(self._checkpoint.parts[work])

    def _cancel_dropped(self) -> None:
        for future, (_, part) in self._of.items():
            if part.dropped:
                future.cancel()

    def _break_off(self) -> list[WorkOutcome]:
        """Return partial results of unfinished explorations, with parts that still arrive."""
        self._pool.stop()
        found: dict[Work, list[WorkOutcome]] = {}
        for work in dict.fromkeys(work for work, _ in self._of.values()):
            found[work] = list(self._checkpoint.parts[work].outcomes())
        for future, (work, _) in self._of.items():
            if not future.cancel() and (future.done() or self._pool.returns_when_stopped):
                with suppress(OutOfReachError, CancelledError):  # killed with this one
                    found[work].append(self._pool.result(future, work.scenario).outcome)
        return [replace(reduce(total, each), complete=False) for each in found.values() if each]


def _outcome_of(part: Part) -> Iterator[WorkOutcome]:
    if part.is_done and part.outcome is not None:
        yield part.outcome
