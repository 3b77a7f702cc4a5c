"""A run of the checker: which explorations there are, spread over processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from os import sched_getaffinity
from signal import SIG_IGN, SIGINT, signal

from untorn.check.execution import Strategy
from untorn.check.explore import Exploration, explore, watching
from untorn.check.mutants import MUTANTS
from untorn.check.scenarios import SCENARIOS
from untorn.check.strategies.dfs import Dfs
from untorn.check.strategies.sampling import Pct, Pos, RandomWalk
from untorn.check.strategies.script import Script
from untorn.check.strategies.source_dpor import SourceDpor

SAMPLES = 2000
"""Schedules that a sampling strategy draws of each scenario."""
STRATEGIES: dict[str, Callable[[int | None, int], Strategy]] = {
    "dpor": lambda preemptions, seed: SourceDpor(),
    "dfs": lambda preemptions, seed: Dfs(preemptions),
    "pos": lambda preemptions, seed: Pos(SAMPLES, seed),
    "pct": lambda preemptions, seed: Pct(SAMPLES, seed),
    "random": lambda preemptions, seed: RandomWalk(SAMPLES, seed),
}


@dataclass(frozen=True, slots=True)
class Work:
    """One exploration, as it can be sent to another process.

    Attributes:
        scenario, strategy: Their names.
        mutant: The name of a mutant that is applied; None for the code as it is.
        preemptions: The bound of dfs.
        seed: Of a sampling strategy.
    """

    scenario: str
    strategy: str = "dpor"
    mutant: str | None = None
    preemptions: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it; plain values, so that it can be sent back.

    Attributes:
        work: What was explored.
        schedules, blocked, limited, steps, seconds, complete, schedule: See Exploration.
        failure: What broke, in lines; empty if nothing did.
    """

    work: Work
    schedules: int
    blocked: int
    limited: int
    steps: int
    seconds: float
    complete: bool
    failure: str
    schedule: tuple[int, ...]

    @property
    def passed(self) -> bool:
        """Whether all that was to be explored was, and nothing broke."""
        return self.complete and not self.limited and not self.failure


def do(work: Work) -> Outcome:
    """Explore."""
    scenario = SCENARIOS[work.scenario]
    strategy = STRATEGIES[work.strategy](work.preemptions, work.seed)
    if scenario.script is not None:
        strategy = Script(scenario.script)
    mutant = MUTANTS[work.mutant] if work.mutant else None
    with watching():
        found = explore(
            scenario.build,
            strategy,
            mutant=mutant,
            shown=scenario.shown,
            stop=_stop(mutated=mutant is not None),
        )
    return Outcome(
        work,
        found.schedules,
        found.blocked,
        found.limited,
        found.steps,
        found.seconds,
        found.complete,
        _describe(found),
        found.schedule,
    )


def _stop(*, mutated: bool) -> Callable[[Exploration], bool]:
    """Return what says that an exploration is to end before its time.

    A mutant whose schedules grow without end has shown what it is.
    """

    def stop(found: Exploration) -> bool:
        return (mutated and found.limited > 0) or (
            _stopping is not None and not found.schedules % _CHECK_EVERY and _stopping.is_set()
        )

    return stop


def _describe(found: Exploration) -> str:
    failure = found.failure
    if failure is None:
        return ""
    name = type(failure).__name__
    return str(failure) if name in ("Broken", "Deadlock") else f"{name}: {failure}"


def plan(
    names: Sequence[str], strategy: str, preemptions: int | None, mutant: str | None
) -> list[Work]:
    """Return what is to be explored.

    Args:
        names: Scenarios, or groups of them (the part before the slash); none for all that are
            not deep, or for those where the mutant shows.
        strategy: Its name.
        preemptions: The bound of dfs.
        mutant: The name of one.

    Raises:
        LookupError: There is no such scenario or group; the message says which there are.
    """
    if not names and mutant:
        names = MUTANTS[mutant].scenarios
    chosen: dict[str, None] = {}
    for name in names:
        found = [each for each in SCENARIOS if name in (each, each.partition("/")[0])]
        if not found:
            groups = sorted({each.partition("/")[0] for each in SCENARIOS})
            raise LookupError(f"there is no scenario {name}; groups: {', '.join(groups)}")
        chosen.update(dict.fromkeys(found))
    if not names:
        chosen = dict.fromkeys(name for name, each in SCENARIOS.items() if not each.deep)
    return [Work(name, strategy, mutant, preemptions) for name in chosen]


def run(works: Sequence[Work], executor: Executor | None = None) -> Iterator[Outcome]:
    """Explore everything; yield outcomes as they come.

    Args:
        works: What; the first are begun first.
        executor: Who does it; processes on all CPUs of this machine if None.
    """
    pool = executor or processes(len(works))
    try:
        for future in as_completed([pool.submit(do, work) for work in works]):
            yield future.result()
    finally:
        if executor is None:
            if _stopping is not None:
                _stopping.set()
            pool.shutdown(wait=True, cancel_futures=True)
            _begin_run(None)


_stopping: Event | None = None
"""Set when the processes of a run are to come to an end, be it in the middle of a scenario."""
_CHECK_EVERY = 64
"""Schedules between two looks at that."""


def processes(most: int) -> Executor:
    """Return processes of this machine, one for each CPU; Ctrl-C is this process's business."""
    context = get_context("spawn")
    stopping = context.Event()
    _begin_run(stopping)
    workers = min(len(sched_getaffinity(0)), max(most, 1))
    return ProcessPoolExecutor(workers, context, _begin_worker, (stopping,))


def _begin_run(stopping: Event | None) -> None:
    global _stopping
    _stopping = stopping


def _begin_worker(stopping: Event) -> None:
    signal(SIGINT, SIG_IGN)
    _begin_run(stopping)
