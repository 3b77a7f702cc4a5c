"""The printed report of a run: lines of scenarios, the matrix of mutants, a failure."""

from __future__ import annotations

from collections.abc import Sequence

from untorn.check.explore import Theatre
from untorn.check.memory.modes import watching_in
from untorn.check.mutants import MUTANTS
from untorn.check.mutants.order_mutant import AnyMutant
from untorn.check.scenarios import SCENARIOS
from untorn.check.scenarios.scenario import Scenario
from untorn.check.strategies.replay import Replay
from untorn.check.strategies.script import Script
from untorn.check.telling.record import Recorded
from untorn.check.telling.story import tell
from untorn.check.telling.switches import Switches, fewest_switches, what_broke
from untorn.check.work import Work, WorkOutcome, tracks


def by_scenario(outcomes: Sequence[WorkOutcome]) -> list[str]:
    """Return a table: scenario, schedules, steps of each, seconds, result."""
    rows = [f"{'scenario':32} {'schedules':>9} {'steps':>6} {'seconds':>8}  result"]
    for each in outcomes:
        played = max(each.schedules + each.blocked + each.limited, 1)
        rows.append(
            f"{each.work.scenario:32} {each.schedules:9} {each.steps // played:6}"
            f" {each.seconds:8.2f}  {_result(each)}"
        )
    return rows


def _result(each: WorkOutcome) -> str:
    if each.failure:
        return each.failure.splitlines()[0]
    if each.limited:
        return f"inconclusive: {each.limited} schedules grew too long"
    if not each.complete:
        return "unfinished"
    if each.work.preemptions is not None:
        return f"nothing found with {each.work.preemptions} preemptions or fewer"
    return "holds" if each.work.strategy in ("dpor", "dfs") else "nothing found"


def summary(outcomes: Sequence[WorkOutcome]) -> str:
    """Return the summary line."""
    schedules = sum(each.schedules for each in outcomes)
    seconds = sum(each.seconds for each in outcomes)
    broken = sum(bool(each.failure) for each in outcomes)
    limited = sum(bool(each.limited) and not each.failure for each in outcomes)
    passed = sum(each.passed for each in outcomes)
    unfinished = len(outcomes) - passed - broken - limited
    parts = [f"{len(outcomes)} scenarios, {schedules} schedules, {seconds:.1f} s of CPU"]
    parts += [f"{broken} broken"] if broken else []
    parts += [f"{limited} inconclusive"] if limited else []
    parts += [f"{unfinished} unfinished"] if unfinished else []
    return ", ".join(parts if len(parts) > 1 else [*parts, "nothing broke"])


def kill(outcomes: Sequence[WorkOutcome]) -> tuple[int, str] | None:
    """Return how many schedules it took to kill a mutant, and what broke; None if it survived.

    Args:
        outcomes: Of one mutant under one strategy, in the order of its scenarios.
    """
    schedules = 0
    for each in outcomes:
        schedules += each.schedules + each.limited
        if each.failure:
            return schedules, each.failure.splitlines()[0]
        if each.limited:
            return schedules, "a schedule that does not end"
    return None


def decided(works: Sequence[Work], outcomes: Sequence[WorkOutcome]) -> list[WorkOutcome]:
    """Return the outcomes of mutants for which every strategy is done."""
    ended = {each.work for each in outcomes if each.complete or each.failure or each.limited}
    open_ones = {work.mutant for work in works if work not in ended}
    return [each for each in outcomes if each.work.mutant not in open_ones]


def _kills(
    outcomes: Sequence[WorkOutcome], strategies: Sequence[str]
) -> dict[str, list[tuple[int, str] | None]]:
    return {
        name: [
            kill([e for e in outcomes if (e.work.mutant, e.work.strategy) == (name, strategy)])
            for strategy in strategies
        ]
        for name in MUTANTS
        if any(each.work.mutant == name for each in outcomes)
    }


def matrix(outcomes: Sequence[WorkOutcome], strategies: Sequence[str]) -> list[str]:
    """Return a table: mutant, schedules to the kill under each strategy, what broke."""
    rows = [f"{'mutant':30}" + "".join(f"{name:>8}" for name in strategies) + "  what broke"]
    kills = _kills(outcomes, strategies)
    for name, found in kills.items():
        figures = "".join(f"{each[0] if each else '-':>8}" for each in found)
        first = next((each[1] for each in found if each), "")
        equivalent = MUTANTS[name].equivalent
        rows.append(f"{name:30}{figures}  {first or ('equivalent' if equivalent else 'SURVIVED')}")
    for number, strategy in enumerate(strategies):
        killed = sum(bool(found[number]) for found in kills.values())
        possible = sum(not MUTANTS[name].equivalent for name in kills)
        rows.append(f"{strategy}: {killed} of {possible} killed")
    rows += [f"equivalent: {n}: {MUTANTS[n].equivalent}" for n in kills if MUTANTS[n].equivalent]
    return rows


def all_killed(outcomes: Sequence[WorkOutcome], strategy: str) -> bool:
    """Return whether a strategy killed all mutants except the equivalent ones."""
    kills = _kills(outcomes, (strategy,))
    return all(bool(found[0]) != bool(MUTANTS[name].equivalent) for name, found in kills.items())


def story(outcome: WorkOutcome) -> tuple[list[str], Switches]:
    """Shrink a failure to few switches; return its text and the switches.

    A script is told as it was followed.
    """
    work = outcome.work
    scenario = SCENARIOS[work.scenario]
    mutant = MUTANTS[work.mutant] if work.mutant else None
    with watching_in(work.memory, speculated=scenario.speculated):
        if scenario.script is None:
            races = tracks(work.strategy)
            switches = fewest_switches(scenario, outcome.schedule, mutant, tracks=races)
        else:
            switches = dict(enumerate(outcome.schedule))
        theatre = _theatre(scenario, switches, work.strategy)
        return [*_about(scenario, mutant), *tell(theatre, mutant)], switches


def replayed(recorded: Recorded) -> tuple[list[str], bool]:
    """Replay a failure; return its text, and whether it still breaks."""
    scenario = SCENARIOS[recorded.scenario]
    mutant = MUTANTS[recorded.mutant] if recorded.mutant else None
    with watching_in(recorded.memory, speculated=scenario.speculated):
        theatre = _theatre(scenario, recorded.switches, recorded.strategy)
        told = [*_about(scenario, mutant), *tell(theatre, mutant)]
    strategy = theatre.strategy
    if isinstance(strategy, Replay) and strategy.missed:
        told.append(f"at step {strategy.missed[0]} the task that was to run could not")
    return told, bool(what_broke(theatre))


def _theatre(scenario: Scenario, switches: Switches, strategy: str) -> Theatre:
    """Set a scenario up for a schedule of a strategy, or for its script if it has one."""
    if scenario.script is not None:
        return Theatre(scenario.build, Script(scenario.script), scenario.shown)
    return Theatre(scenario.build, Replay(switches, tracks=tracks(strategy)), scenario.shown)


def _about(scenario: Scenario, mutant: AnyMutant | None) -> list[str]:
    lines = [f"{scenario.name}: {scenario.about}"]
    return [*lines, f"{mutant.name}: {mutant.about}"] if mutant else lines
