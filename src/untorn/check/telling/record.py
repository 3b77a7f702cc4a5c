"""The result of a run as a file: one JSON object, from which a failing schedule can be replayed."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from untorn.check.code import code_hash
from untorn.check.memory.modes import MEMORIES, SC
from untorn.check.mutants import MUTANTS
from untorn.check.scenarios import SCENARIOS
from untorn.check.stage.stage import Stage
from untorn.check.telling.switches import Switches
from untorn.check.work import SEARCH_STRATEGIES, WorkOutcome
from untorn.errors import UntornError


class ScheduleFileError(UntornError):
    """A file is no record of a failing schedule, or of different code; the message says which."""


def as_json(outcomes: Sequence[WorkOutcome], shrunk: dict[int, Switches]) -> str:
    """Return the object.

    Args:
        outcomes: In order.
        shrunk: By number of a failing outcome, the schedule with the fewest switches.
    """
    explorations = [
        {
            "scenario": each.work.scenario,
            "strategy": each.work.strategy,
            "mutant": each.work.mutant,
            "memory": each.work.memory,
            "schedules": each.schedules,
            "blocked": each.blocked,
            "limited": each.limited,
            "steps": each.steps,
            "seconds": round(each.seconds, 3),
            "complete": each.complete,
            "failure": each.failure,
            "switches": shrunk.get(number, dict(enumerate(each.schedule))),
        }
        for number, each in enumerate(outcomes)
    ]
    return json.dumps({"code": code_hash(), "explorations": explorations}, indent=1)


class Recorded(NamedTuple):
    """A failure, as kept in a file."""

    scenario: str
    strategy: str
    mutant: str | None
    memory: str
    switches: Switches


def load(path: Path) -> Recorded:
    """Return the first failure in a file.

    A schedule that grew too long counts as one if nothing else failed.

    Raises:
        ScheduleFileError: It is no such file, has no failure, or is about other code.
        OSError: It cannot be read.
    """
    try:
        found: Any = json.loads(path.read_bytes())
        explorations = found["explorations"]
        failing = [each for each in explorations if each["failure"]]
        failing += [each for each in explorations if each["limited"]]
        recorded = [_recorded(each) for each in failing[:1]]
        code = found["code"]
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as e:
        raise ScheduleFileError(f"{path}: no record of a run of the checker") from e
    if not recorded:
        raise ScheduleFileError(f"{path}: nothing failed in that run")
    if code != code_hash():
        raise ScheduleFileError(f"{path}: of other code, or another Python: explore again")
    (first,) = recorded
    if (
        first.scenario not in SCENARIOS
        or first.strategy not in SEARCH_STRATEGIES
        or first.mutant not in (None, *MUTANTS)
        or first.memory not in MEMORIES
    ):
        raise ScheduleFileError(f"{path}: of a scenario, strategy or mutant that there is not")
    stage = Stage()
    SCENARIOS[first.scenario].build(stage)
    steps = range(len(stage.jobs) if first.memory == SC else sys.maxsize)
    if not all(at >= 0 and step in steps for at, step in first.switches.items()):
        raise ScheduleFileError(f"{path}: a schedule has no such step or task")
    return first


def _recorded(exploration: Any) -> Recorded:
    switches = {int(step): int(task) for step, task in exploration["switches"].items()}
    scenario, strategy = str(exploration["scenario"]), str(exploration["strategy"])
    memory = str(exploration["memory"])
    return Recorded(scenario, strategy, exploration["mutant"], memory, switches)
