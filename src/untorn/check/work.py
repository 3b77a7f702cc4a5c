"""Work: explorations, and parts of them, as they are sent to other processes and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from untorn.check.explore import Exploration, explore
from untorn.check.memory.modes import SC, search, watching_in
from untorn.check.mutants import MUTANTS
from untorn.check.oracle.failure import describe
from untorn.check.runtime.execution import Strategy
from untorn.check.scenarios import SCENARIOS
from untorn.check.strategies.branch import ALL, Branch, Request, Root
from untorn.check.strategies.depth_first import EVERYTHING, Dfs, Rest
from untorn.check.strategies.sampling import Pct, Pos, RandomWalk
from untorn.check.strategies.script import Script
from untorn.check.strategies.source_dpor import SourceDpor

Stop = Callable[[Exploration], bool]
"""Says, before each schedule, whether an exploration is to end before its time."""


def never(found: Exploration) -> bool:
    """Let it go on."""
    return False


SAMPLES = 2000
"""Schedules that a sampling strategy draws of each scenario."""
SEARCH_STRATEGIES: dict[str, Callable[[int | None], Strategy]] = {
    "dpor": lambda preemptions: SourceDpor(),
    "dfs": Dfs,
    "pos": lambda preemptions: Pos(SAMPLES),
    "pct": lambda preemptions: Pct(SAMPLES),
    "random": lambda preemptions: RandomWalk(SAMPLES),
}


def tracks(strategy: str) -> bool:
    """Say whether a strategy looks for races."""
    return SEARCH_STRATEGIES[strategy](None).tracks


@dataclass(frozen=True, slots=True)
class Work:
    """One exploration, as it can be sent to another process.

    Attributes:
        scenario, strategy: Their names.
        mutant: The name of a mutant that is applied; None for the code as it is.
        preemptions: The bound of dfs.
        memory: One of MEMORIES; other than sc only with dpor.
    """

    scenario: str
    strategy: str = "dpor"
    mutant: str | None = None
    preemptions: int | None = None
    memory: str = SC


@dataclass(frozen=True, slots=True)
class WorkOutcome:
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


Start = Branch | Rest | None
"""Where a part of a work begins: a branch under source-DPOR, a rest of a plain search; None is all
of it in one part."""


@dataclass(frozen=True, slots=True)
class WorkPart:
    """What came of a part of an exploration.

    Attributes:
        outcome: Of the part.
        starts: What is left of it, in order, to be explored in parts of their own.
        root: What these are branches of.
        requests: What it asks others to explore.
    """

    outcome: WorkOutcome
    starts: tuple[Start, ...] = ()
    root: Root | None = None
    requests: tuple[Request, ...] = ()


def do(work: Work, stop: Stop = never) -> WorkOutcome:
    """Explore all of it."""
    script = SCENARIOS[work.scenario].script
    if script is not None:
        return _explore(work, Script(script), stop)
    if work.memory != SC:
        return _explore(work, search(work.memory), stop)
    return _explore(work, SEARCH_STRATEGIES[work.strategy](work.preemptions), stop)


PART_STEPS = 500_000
"""Steps after which a part gives back what is left of it: a few seconds.

By steps and not by a clock, so that counts depend on nothing else.
"""
CUT = 4
"""Parts that the rest of a plain search is cut into."""


def start_of(work: Work) -> Start:
    """Return where the first part of a work begins."""
    # A mutant under source-DPOR is explored in one part, as the question is after how many
    # schedules it shows.
    if SCENARIOS[work.scenario].script is None:
        if work.strategy == "dfs":
            return EVERYTHING
        if work.strategy == "dpor" and work.mutant is None:
            return ALL
    return None


def do_part(work: Work, start: Start, stop: Stop = never) -> WorkPart:
    """Explore a part of it, or as much of that as one part is to have."""
    match start:
        case Branch():
            return _do_branch(work, start, stop)
        case Rest():
            dfs = Dfs(work.preemptions, start, PART_STEPS)
            outcome = _explore(work, dfs, stop)
            return WorkPart(outcome, tuple(dfs.rest().cut(CUT) if outcome.complete else ()))
        case None:
            return WorkPart(do(work, stop))


def _do_branch(work: Work, branch: Branch, stop: Stop) -> WorkPart:
    budget = 0 if branch == ALL else PART_STEPS  # of all, one schedule
    dpor = search(work.memory, branch, budget)
    outcome = _explore(work, dpor, stop)
    requests = tuple(dict.fromkeys(dpor.requests))
    if not outcome.complete:
        return WorkPart(outcome, requests=requests)
    root = dpor.root()
    branches = tuple(root.branches())
    return WorkPart(outcome, branches, root if branches else None, requests)


def _explore(work: Work, strategy: Strategy, stop: Stop) -> WorkOutcome:
    scenario = SCENARIOS[work.scenario]
    mutant = MUTANTS[work.mutant] if work.mutant else None

    def enough(found: Exploration) -> bool:
        """A mutant whose schedules grow without end has shown what it is."""
        return (mutant is not None and found.limited > 0) or stop(found)

    with watching_in(work.memory, speculated=scenario.speculated):
        found = explore(scenario.build, strategy, mutant=mutant, shown=scenario.shown, stop=enough)
    return WorkOutcome(
        work,
        found.schedules,
        found.blocked,
        found.limited,
        found.steps,
        found.seconds,
        found.complete,
        describe(found.failure),
        found.schedule,
    )


def plan(
    names: Sequence[str],
    strategy: str,
    preemptions: int | None,
    mutant: str | None,
    memory: str = SC,
) -> list[Work]:
    """Return what is to be explored.

    Args:
        names: Scenarios, or groups of them (what stands before a slash); none for all that are
            not deep, or for those where the mutant shows.
        strategy: Its name.
        preemptions: The bound of dfs.
        mutant: The name of one.
        memory: See Work.

    Raises:
        LookupError: There is no such scenario or group; the message says which there are.
    """
    if not names and mutant:
        names = MUTANTS[mutant].scenarios
    chosen: dict[str, None] = {}
    for name in names:
        found = SCENARIOS.named(name)
        if not found:
            groups = ", ".join(SCENARIOS.groups())
            raise LookupError(f"there is no scenario {name}; groups: {groups}")
        chosen.update(dict.fromkeys(found))
    if not names:
        chosen = dict.fromkeys(SCENARIOS.default())
    return [Work(name, strategy, mutant, preemptions, memory) for name in chosen]
