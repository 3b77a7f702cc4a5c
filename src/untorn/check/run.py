"""A run of the checker, spread over processes: by scenario, and each by what leaves its root.

Behind concurrent.futures.Executor, so that others than this machine's CPUs can do it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import Self

from untorn.check.scenarios import SCENARIOS
from untorn.check.strategies.branch import Root
from untorn.check.work import Work, WorkOutcome, WorkPart
from untorn.check.workers import Workers, branch, first, whole
from untorn.errors import OutOfReachError
from untorn.processes.endings import ending_taken, endings_held, wait_readable


@dataclass(slots=True)
class WorkInParts:
    """An exploration that is done in parts.

    First its first schedule; then, round by round, the branches that are to leave it. What they
    ask for is taken in when all of a round are back, in their order, so that it does not depend
    on who was faster.

    Attributes:
        work: What is explored.
        outcome: Of all parts so far.
        round: The parts being done.
    """

    work: Work
    outcome: WorkOutcome | None = None
    round: list[Future[WorkPart]] = field(default_factory=list)
    _root: Root | None = None

    def begin(self, pool: Executor) -> list[Future[WorkPart]]:
        """Hand the first part out; return what is being done."""
        splits = self.work.strategy == "dpor" and self.work.mutant is None
        at_once = not splits or SCENARIOS[self.work.scenario].script is not None
        self.round = [pool.submit(whole if at_once else first, self.work)]
        return self.round

    def go_on(self, pool: Executor) -> list[Future[WorkPart]]:
        """Take a finished round in and hand the next one out; nothing if all is done."""
        for future in self.round:
            part = future.result()
            self._take(part)
            self._root = self._root or part.root
            if self._root is not None:
                self._root.ask(list(part.requests))
        done = self._root is None or (self.outcome is not None and self.outcome.failure)
        branches = [] if done or self._root is None else self._root.branches()
        self.round = [pool.submit(branch, self.work, each) for each in branches]
        return self.round

    def _take(self, part: WorkPart) -> None:
        self.outcome = part.outcome if self.outcome is None else _sum(self.outcome, part)

    def break_off(self, *, wait: bool) -> WorkOutcome | None:
        """Take in what is there of a round, and with wait what is being done; return the sum."""
        for future in self.round:
            if not future.cancel() and (future.done() or wait):
                with suppress(BrokenExecutor):  # the process was killed with this one
                    self._take(future.result())
        return self.outcome and replace(self.outcome, complete=False)


def _sum(so_far: WorkOutcome, part: WorkPart) -> WorkOutcome:
    more = part.outcome
    told = so_far if so_far.failure or (so_far.schedule and not more.failure) else more
    return replace(
        so_far,
        schedules=so_far.schedules + more.schedules,
        blocked=so_far.blocked + more.blocked,
        limited=so_far.limited + more.limited,
        steps=so_far.steps + more.steps,
        seconds=so_far.seconds + more.seconds,
        complete=so_far.complete and more.complete,
        failure=told.failure,
        schedule=told.schedule,
    )


def run(works: Sequence[Work], executor: Executor | None = None) -> Iterator[WorkOutcome]:
    """Explore everything; yield outcomes as they come.

    Args:
        works: What; the first are begun first.
        executor: Who does it; processes on all CPUs of this machine if None.

    Raises:
        Interrupted: Ctrl-C or SIGTERM came; no process is left behind.
        OutOfReachError: A process was killed by someone else.
    """
    with endings_held():  # an executor that is interrupted in its own code may never end
        pool = executor or Workers()
        interrupted = False
        try:
            yield from _run(works, pool)
        except Interrupted:
            interrupted = True
            raise
        finally:
            if isinstance(pool, Workers):
                pool.stop()
            if executor is None:
                pool.shutdown(wait=True, cancel_futures=True)
            if interrupted:
                ending_taken()  # another one that came meanwhile says nothing new


def _run(works: Sequence[Work], pool: Executor) -> Iterator[WorkOutcome]:
    with Arrivals() as arrivals:
        of: dict[Future[WorkPart], WorkInParts] = {}
        try:
            for work in works:
                progress = WorkInParts(work)
                of.update(dict.fromkeys(arrivals.expect(progress.begin(pool)), progress))
            while of:
                progress = of.pop(arrivals.next())
                if not any(future in of for future in progress.round):
                    following = arrivals.expect(progress.go_on(pool))
                    of.update(dict.fromkeys(following, progress))
                    if not following and progress.outcome is not None:
                        yield progress.outcome
        except KeyboardInterrupt:
            raise Interrupted(_break_off(of.values(), pool)) from None
        except BrokenExecutor as error:
            if ending_taken():  # a signal to all processes of the group
                raise Interrupted(_break_off(of.values(), pool)) from None
            raise OutOfReachError("a process that explores was killed: out of memory?") from error


def _break_off(unfinished: Iterable[WorkInParts], pool: Executor) -> list[WorkOutcome]:
    if isinstance(pool, Workers):
        pool.stop()
    by_work = {progress.work: progress for progress in unfinished}
    wait = isinstance(pool, Workers)  # others cannot be told, and may take long
    return [outcome for each in by_work.values() if (outcome := each.break_off(wait=wait))]


class Interrupted(KeyboardInterrupt):
    """A run was ended from outside.

    Attributes:
        unfinished: What there is of explorations that were begun.
    """

    def __init__(self, unfinished: list[WorkOutcome]) -> None:
        super().__init__()
        self.unfinished = unfinished


class Arrivals:
    """Futures in the order in which they are done; waiting for one can be ended by a signal."""

    def __init__(self) -> None:
        self._done: SimpleQueue[Future[WorkPart]] = SimpleQueue()
        self._reading, self._writing = os.pipe()

    def expect(self, futures: list[Future[WorkPart]]) -> list[Future[WorkPart]]:
        """Return futures whose arrival will be told."""
        for future in futures:
            future.add_done_callback(self._arrived)
        return futures

    def _arrived(self, future: Future[WorkPart]) -> None:
        """Tell of a future; called by whichever thread of the executor has it."""
        self._done.put(future)
        with suppress(OSError):  # nobody waits any longer
            os.write(self._writing, b".")

    def next(self) -> Future[WorkPart]:
        """Wait for one that is done. Raises KeyboardInterrupt if an ending is asked for."""
        while not wait_readable(self._reading, _LONG):
            pass
        os.read(self._reading, 1)
        return self._done.get()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for end in self._reading, self._writing:
            os.close(end)


_LONG = 3600.0
"""Seconds."""
