"""Make a schedule that breaks something as simple as it can be: as few switches as possible.

A schedule is kept as the steps at which the usual task (the running one, else the first that can
run) does not run. Some of them are left out, as long as the same thing breaks: half of them where
that goes, then ever fewer, then each.

Zeller, Hildebrandt: Simplifying and Isolating Failure-Inducing Input, IEEE TSE 28(2), 2002.
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
    scenario: Scenario, given: Mapping[int, int], mutant: Mutant | None, *, tracks: bool = True
) -> tuple[Theatre, Switches]:
    """Play one schedule; return the theatre after it, and the switches that were made.

    Preconditions: inside of watching().
    """
    strategy = Replay(given, tracks=tracks)
    theatre = Theatre(scenario.build, strategy, scenario.shown)
    with theatre.mutated(mutant):
        theatre.play()
    return theatre, dict(strategy.switches)


def shrink(
    scenario: Scenario, schedule: Sequence[int], mutant: Mutant | None, *, tracks: bool = True
) -> Switches:
    """Return the fewest switches found that break the same thing.

    Preconditions: inside of watching(); the schedule breaks something.
    """
    theatre, best = replay(scenario, dict(enumerate(schedule)), mutant, tracks=tracks)
    wanted = what_broke(theatre)
    size = len(best)
    while size:
        steps = sorted(best, reverse=True)  # without the later ones the start stays as it is
        for first in range(0, len(steps), size):
            left_out = steps[first : first + size]
            given = {at: task for at, task in best.items() if at not in left_out}
            theatre, made = replay(scenario, given, mutant, tracks=tracks)
            if what_broke(theatre) == wanted and len(made) < len(best):
                best = made
                break
        else:
            size //= 2
    return best


def what_broke(theatre: Theatre) -> str:
    """Name what broke, without the particulars; empty if nothing did."""
    failure = theatre.run.failure
    if failure is None:
        return "does not end" if theatre.run.limited else ""
    return f"{type(failure).__name__} {str(failure).split(':', 1)[0]}"
