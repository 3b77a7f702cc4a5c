"""The run at work in this process, if there is one: where shared accesses report to.

Primitives and fields call point() before each access. Between runs it does nothing, so that a
scenario is set up by the same code. One run at a time in a process; all of this belongs to the
thread that explores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from untorn.check.runtime.location import SharedLocation
from untorn.check.runtime.trace import Trace


class Run(Protocol):
    """The part of an execution that reporters use.

    Attributes:
        current: The running task.
        steps: How many steps were chosen so far; the last one is being made.
        made: How many locations each task has made in this run.
        tracks: Whether the strategy needs to know what happened before what.
        trace: The record of that.
        over: Something failed, or the schedule ended: what tasks do to clean up is no step.
    """

    current: int
    steps: int
    made: list[int]
    tracks: bool
    trace: Trace
    over: bool

    @property
    def tasks(self) -> Sequence[Any]:
        """The tasks, of the checker's own kind."""

    @property
    def point(self) -> Callable[[SharedLocation, int], None]:
        """Announce a step of the running task; returns when it is to be made."""

    def fail(self, error: BaseException) -> None:
        """End the schedule from inside the running task: something is wrong."""


def _no_point(location: SharedLocation, kind: int) -> None:
    """Do nothing: no run is active."""


# point is the run's own, here once more: it is called at every access, and looked up each time.
run: Run | None = None
point: Callable[[SharedLocation, int], None] = _no_point

new_trace: type[Trace] = Trace
"""The class that records the order of steps in new executions."""

_made: dict[tuple[int, int, str], SharedLocation] = {}
_adopted: list[tuple[dict[Any, Any], Any]] = []


def begin(execution: Run) -> None:
    """Let execution decide at every point from now on."""
    global run, point
    run, point = execution, execution.point


def end() -> None:
    """Let accesses pass again, and forget the objects that tasks made."""
    global run, point
    run, point = None, _no_point
    # Cells keep their objects alive: those of each schedule would pile up.
    for cells, made in _adopted:
        cells.pop(made, None)
    _adopted.clear()


def unseen(look: Callable[[], Any]) -> Any:
    """Return what look() returns; its accesses are not noticed."""
    global run, point
    # Without a run, guarded fields are not checked either: a look for a report or a history must
    # neither be a step nor race with one.
    before, run, point = (run, point), None, _no_point
    try:
        return look()
    finally:
        run, point = before


def forget_locations() -> None:
    """Begin an exploration: what tasks make is named anew."""
    _made.clear()


def location(name: str, **attributes: Any) -> SharedLocation:
    """Return the location of something that is being made.

    During a run it is the same one in each schedule in which the same task made as many before.
    """
    if run is None:
        return SharedLocation(name, **attributes)
    # A strategy compares locations of one schedule with those of the one before. Objects are new
    # in each, so a location goes by its maker and how many that task had made: both are the same
    # in two schedules for as long as the steps are.
    maker = run.current
    key = maker, run.made[maker], name
    run.made[maker] += 1
    known = _made.get(key)
    if known is None:
        known = _made[key] = SharedLocation(f"{name} {maker}.{key[1]}", **attributes)
    known.blocked = known.idle
    known.counter = attributes.get("counter")
    return known


def adopt(cells: dict[Any, Any], made: object, cell: object) -> None:
    """Give an object that the running task is making its cell, for this run."""
    cells[made] = cell
    _adopted.append((cells, made))
