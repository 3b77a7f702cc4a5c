"""A run of the checker, spread over processes: by scenario, and each by what leaves its root.

Behind concurrent.futures.Executor, so that others than this machine's CPUs can do it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from os import sched_getaffinity
from signal import SIG_IGN, SIGINT, signal

from untorn.check.explore import Exploration
from untorn.check.scenarios import SCENARIOS
from untorn.check.strategies.branch import Branch, Root
from untorn.check.work import Outcome, Part, Work, do, do_branch, do_first


@dataclass(slots=True)
class Progress:
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
    outcome: Outcome | None = None
    round: list[Future[Part]] = field(default_factory=list)
    _root: Root | None = None

    def begin(self, pool: Executor) -> list[Future[Part]]:
        """Hand the first part out; return what is being done."""
        splits = self.work.strategy == "dpor" and self.work.mutant is None
        whole = not splits or SCENARIOS[self.work.scenario].script is not None
        self.round = [pool.submit(_whole if whole else _first, self.work)]
        return self.round

    def go_on(self, pool: Executor) -> list[Future[Part]]:
        """Take a finished round in and hand the next one out; nothing if all is done."""
        for future in self.round:
            part = future.result()
            self.outcome = part.outcome if self.outcome is None else _sum(self.outcome, part)
            self._root = self._root or part.root
            if self._root is not None:
                self._root.ask(list(part.requests))
        done = self._root is None or (self.outcome is not None and self.outcome.failure)
        branches = [] if done or self._root is None else self._root.branches()
        self.round = [pool.submit(_branch, self.work, each) for each in branches]
        return self.round

    @property
    def back(self) -> bool:
        """Whether all parts of the round are."""
        return all(future.done() for future in self.round)


def _sum(so_far: Outcome, part: Part) -> Outcome:
    more = part.outcome
    failed = so_far if so_far.failure else more
    return replace(
        so_far,
        schedules=so_far.schedules + more.schedules,
        blocked=so_far.blocked + more.blocked,
        limited=so_far.limited + more.limited,
        steps=so_far.steps + more.steps,
        seconds=so_far.seconds + more.seconds,
        complete=so_far.complete and more.complete,
        failure=failed.failure,
        schedule=failed.schedule,
    )


def run(works: Sequence[Work], executor: Executor | None = None) -> Iterator[Outcome]:
    """Explore everything; yield outcomes as they come.

    Args:
        works: What; the first are begun first.
        executor: Who does it; processes on all CPUs of this machine if None.
    """
    pool = executor or processes()
    waiting: dict[Future[Part], Progress] = {}
    try:
        for work in works:
            progress = Progress(work)
            waiting.update(dict.fromkeys(progress.begin(pool), progress))
        while waiting:
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                progress = waiting.pop(future)
                if progress.back and future in progress.round:
                    waiting.update(dict.fromkeys(progress.go_on(pool), progress))
                    if not progress.round and progress.outcome is not None:
                        yield progress.outcome
    finally:
        if executor is None:
            if _stopping is not None:
                _stopping.set()
            pool.shutdown(wait=True, cancel_futures=True)
            _set_stopping(None)


_stopping: Event | None = None
"""Set when the processes of a run are to come to an end, be it in the middle of a scenario."""
_CHECK_EVERY = 64
"""Schedules between two looks at that."""


def _stop(found: Exploration) -> bool:
    return _stopping is not None and not found.schedules % _CHECK_EVERY and _stopping.is_set()


def _whole(work: Work) -> Part:
    return Part(do(work, _stop))


def _first(work: Work) -> Part:
    return do_first(work, _stop)


def _branch(work: Work, branch: Branch) -> Part:
    return do_branch(work, branch, _stop)


def processes() -> Executor:
    """Return processes of this machine, one for each CPU; Ctrl-C is this process's business."""
    context = get_context("spawn")
    stopping = context.Event()
    _set_stopping(stopping)
    return ProcessPoolExecutor(len(sched_getaffinity(0)), context, _begin_worker, (stopping,))


def _set_stopping(stopping: Event | None) -> None:
    global _stopping
    _stopping = stopping


def _begin_worker(stopping: Event) -> None:
    signal(SIGINT, SIG_IGN)
    _set_stopping(stopping)
