"""Witness: what is known of a map during a race, for the judge."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from untorn.judge.contract import Evidence
from untorn.judge.history import Range, State
from untorn.judge.reading import Reading
from untorn.judge.views import Solid, alternating
from untorn.maps.page import TASK_SIZE
from untorn.race.scenario import Scenario, Scene, Site


class Clock(NamedTuple):
    """Read before and after each look at a map; the states between the two are its window."""

    begin: Callable[[], int]
    end: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Witness:
    """What the judge needs besides the reading.

    Attributes:
        clock: The clock that readings are made with.
        evidence: Returns what is known of the windows of a reading; call it once for each in order.
        within: The range that can be judged.
    """

    clock: Clock
    evidence: Callable[[Reading], Evidence]
    within: Range


def witness_of(
    scene: Scene, scenario: Scenario, site: Site, views: Sequence[State] | None
) -> Witness:
    """Return the best witness for a scene.

    It knows the recorded states if there are any; else the views of the region that a round goes
    through; else, if views is None, only what is mapped throughout.
    """
    record = scene.record
    if record is not None:
        known = record
        clock = Clock(record.version, record.version)
        return Witness(clock, lambda reading: known.since(reading.fills[0].first), (0, TASK_SIZE))
    solid = scenario.solid(scene.region, site)
    if views is None:
        return Witness(Clock(int, int), lambda _: Solid(solid), scene.region)
    history = alternating(views, solid)
    return Witness(Clock(int, lambda: history.last), lambda _: history, scene.region)
