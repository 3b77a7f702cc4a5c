"""Work: explorations and parts of them, which are sent to other processes and back."""

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
"""Called before each schedule; returns whether an exploration should end early."""


def never(found: Exploration) -> bool:
    """Let it continue."""
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
    """Return whether a strategy looks for races."""
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
    """The result; plain values, so that it can be sent back.

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
        """Whether everything was explored, and nothing broke."""
        return self.complete and not self.limited and not self.failure


Start = Branch | Rest | None
"""The start of a part of a work: a branch under source-DPOR, or the rest of a plain search; None
means all of it in one part."""


@dataclass(frozen=True, slots=True)
class WorkPart:
    """The result of a part of an exploration.

    Attributes:
        outcome: The outcome of the part.
        starts: The starts of what is left of it, in order, to be explored as new parts.
        root: The root of these branches.
        requests: Its requests to others.
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
"""Steps after which a part returns the rest: a few seconds.

Steps, not a clock, so that counts depend on nothing else.
"""
CUT = 4
"""Parts that the rest of a plain search is cut into."""


def start_of(work: Work) -> Start:
    """Return where the first part of a work begins."""
    # A mutant under source-DPOR is explored in one part, because we count the schedules until it
    # shows.
    if SCENARIOS[work.scenario].script is None:
        if work.strategy == "dfs":
            return EVERYTHING
        if work.strategy == "dpor" and work.mutant is None:
            return ALL
    return None


def do_part(work: Work, start: Start, stop: Stop = never) -> WorkPart:
    """Explore a part of it, up to the budget of a part."""
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
        """A mutant whose schedules grow without end counts as killed."""
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
    """Return the works to explore.

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
