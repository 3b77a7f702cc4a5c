"""Make a schedule that breaks something as simple as it can be: as few switches as possible.

A schedule is kept as the steps at which the default task (the running one, else the first that can
run) does not run. Some of them are left out, as long as the same thing breaks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from untorn.check.explore import Theatre
from untorn.check.mutants.order_mutant import AnyMutant
from untorn.check.scenarios.scenario import Scenario
from untorn.check.strategies.replay import Replay
from untorn.shrink import fewest

Switches = dict[int, int]
"""Step to task; under weak memory to a transition, where a load does not see the newest store."""


def replay(
    scenario: Scenario, given: Mapping[int, int], mutant: AnyMutant | None, *, tracks: bool = True
) -> tuple[Theatre, Switches]:
    """Play one schedule; return the theatre after it, and the switches that were made.

    Preconditions: inside of watching().
    """
    strategy = Replay(given, tracks=tracks)
    theatre = Theatre(scenario.build, strategy, scenario.shown)
    with theatre.mutated(mutant):
        theatre.play()
    return theatre, dict(strategy.switches)


def fewest_switches(
    scenario: Scenario, schedule: Sequence[int], mutant: AnyMutant | None, *, tracks: bool = True
) -> Switches:
    """Return the fewest switches found that break the same thing.

    Preconditions: inside of watching(); the schedule breaks something.
    """
    theatre, switches = replay(scenario, dict(enumerate(schedule)), mutant, tracks=tracks)
    wanted, tasks = what_broke(theatre), len(theatre.run.tasks)

    def attempt(fewer: list[tuple[int, int]]) -> list[tuple[int, int]] | None:
        # A switch is identified by its step, and leaving out earlier ones can turn it into another.
        # So the switches that were actually made count, and they must be fewer than before.
        nonlocal switches
        theatre, made = replay(scenario, dict(fewer), mutant, tracks=tracks)
        if what_broke(theatre) != wanted or _cost(made, tasks) >= _cost(switches, tasks):
            return None
        switches = made
        return _latest_first(made)

    # Stale loads first: a load that sees the newest store is easier to understand.
    for step, code in _latest_first(switches):
        if code >= tasks and switches.get(step) == code:
            attempt(list({**switches, step: code % tasks}.items()))
    fewest(_latest_first(switches), attempt)
    return switches


def _cost(switches: Switches, tasks: int) -> int:
    """Return how many switches there are, and loads that do not see the newest store."""
    return len(switches) + sum(code >= tasks for code in switches.values())


def _latest_first(switches: Switches) -> list[tuple[int, int]]:
    """Return switches, those that can go without a change to what comes before them first."""
    return sorted(switches.items(), reverse=True)


def what_broke(theatre: Theatre) -> str:
    """Return what broke, without the particulars; empty if nothing did."""
    failure = theatre.run.failure
    if failure is None:
        return "does not end" if theatre.run.limited else ""
    return f"{type(failure).__name__} {str(failure).split(':', 1)[0]}"
