"""Make a schedule that breaks something as simple as it can be: as few switches as possible.

A schedule is kept as the steps at which the usual task (the running one, else the first that can
run) does not run. Each is left out in turn, as long as the same thing breaks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from untorn.check.explore import Theatre
from untorn.check.mutants.mutant import Mutant
from untorn.check.scenarios.scenario import Scenario
from untorn.check.strategies.replay import Replay

Switches = dict[int, int]
"""Step to task."""


def replay(
    scenario: Scenario, given: Mapping[int, int], mutant: Mutant | None
) -> tuple[Theatre, Switches]:
    """Play one schedule; return the theatre after it, and the switches that were made.

    Preconditions: inside of watching().
    """
    strategy = Replay(given)
    theatre = Theatre(scenario.build, strategy, scenario.shown)
    with theatre.mutated(mutant):
        theatre.play()
    return theatre, dict(strategy.switches)


def shrink(scenario: Scenario, schedule: Sequence[int], mutant: Mutant | None) -> Switches:
    """Return the fewest switches found that break the same thing.

    Preconditions: inside of watching(); the schedule breaks something.
    """
    theatre, best = replay(scenario, dict(enumerate(schedule)), mutant)
    wanted = what_broke(theatre)
    smaller = True
    while smaller:
        smaller = False
        for step in sorted(best, reverse=True):
            given = {at: task for at, task in best.items() if at != step}
            theatre, made = replay(scenario, given, mutant)
            if what_broke(theatre) == wanted and len(made) < len(best):
                best, smaller = made, True
                break
    return best


def what_broke(theatre: Theatre) -> str:
    """Name what broke, without the particulars; empty if nothing did."""
    failure = theatre.run.failure
    if failure is None:
        return "does not end" if theatre.run.limited else ""
    return f"{type(failure).__name__} {str(failure).split(':', 1)[0]}"
