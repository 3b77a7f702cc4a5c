"""Record a schedule: steps and accesses to guarded fields, with places and values."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import FrameType

from untorn.check.oracle.failure import is_checkers
from untorn.check.runtime.execution import Execution
from untorn.check.runtime.fields import WATCHED, DataRaceError
from untorn.check.runtime.location import READ, WRITE, SharedLocation
from untorn.check.runtime.trace import Guard, Trace

Cell = SharedLocation | Guard
"""What represents a place of shared state; see fields.py."""


@dataclass(slots=True, eq=False)
class Told:
    """One access, as it was made.

    Attributes:
        number: The number of the step; None for a guarded field, which makes no step.
        cell: What was touched.
        file, line: The place in the source.
        before, after: The values; None for a mutex or a wake-up.
        made: Whether it was made, and not only about to be.
        stale: The newest value and the step that stored it, if a load saw an older one.
    """

    number: int | None
    task: int
    cell: Cell
    kind: int
    file: str
    line: int
    before: object
    after: object = None
    made: bool = False
    stale: tuple[object, int] | None = None


class Recorder:
    """Notes every access of a run.

    Attributes:
        told: In order.
    """

    def __init__(self, run: Execution) -> None:
        """Record everything that run does from now on."""
        self.told: list[Told] = []
        self._run = run
        self._point = run.point
        self._over = False
        self._fields: dict[Cell, tuple[type, str, object]] = {}
        run.point = self._step  # type: ignore[method-assign]
        run.trace.begin(run.hub)  # its locations forget it
        run.trace = self._telling(run.trace)

    @property
    def steps(self) -> list[Told]:
        """Those that are steps; each stands at its number."""
        return [each for each in self.told if each.number is not None]

    def _step(self, location: SharedLocation, kind: int) -> None:
        """Take the place of Execution.point()."""
        task = self._run.current
        file, line = _source(sys._getframe(1))
        self._point(location, kind)
        told = Told(self._run.steps - 1, task, location, kind, file, line, None)
        self._note(told)
        if not self._over and (seen := self._run.trace.seen_stale(self._run.steps - 1)):
            value, newest, step = seen
            told.before = told.after = value
            told.stale = newest, step

    def _telling(self, trace: Trace) -> Trace:
        """Return a trace like that of a run, that tells of accesses to guarded fields."""
        recorder, kind = self, type(trace)

        class Telling(kind):  # type: ignore[misc, valid-type]
            __slots__ = ()

            def load(self, task: int, guard: Guard) -> int | None:
                recorder.access(task, guard, READ)
                found: int | None = super().load(task, guard)
                return found

            def store(self, task: int, guard: Guard) -> int | None:
                recorder.access(task, guard, WRITE)
                found: int | None = super().store(task, guard)
                return found

        return Telling()

    def access(self, task: int, guard: Guard, kind: int) -> None:
        """Take note of an access to a guarded field that is about to be made."""
        self._note(Told(None, task, guard, kind, *_source(sys._getframe(1)), None))

    def _note(self, told: Told) -> None:
        self.finish()
        if not self._over:
            told.before = told.after = self._value(told.cell)
            self.told.append(told)

    def finish(self) -> None:
        """Record the last access's effect on its cell; clean-up after a failure is not recorded."""
        if self.told and not self._over:
            last = self.told[-1]
            last.made = not isinstance(self._run.failure, DataRaceError)
            last.after = self._value(last.cell)
        self._over = self._run.failure is not None or self._run.limited

    def _value(self, cell: Cell) -> object:
        if isinstance(cell, SharedLocation) and cell.counter is not None:
            return cell.counter.value
        if cell not in self._fields:
            self._learn()
        if cell not in self._fields:
            return None
        cls, name, owner = self._fields[cell]
        try:
            return WATCHED[cls, name].slot.__get__(owner)
        except AttributeError:
            return "gone"

    def _learn(self) -> None:
        """Learn whose fields there are now; tasks make more as they go on."""
        for (cls, name), watched in WATCHED.items():
            for owner, cell in watched.all_cells():
                self._fields[cell] = cls, name, owner


def _source(frame: FrameType | None) -> tuple[str, int]:
    """Return the innermost place that is not the checker's."""
    while frame is not None and is_checkers(frame.f_code.co_filename):
        frame = frame.f_back
    return (frame.f_code.co_filename, frame.f_lineno) if frame is not None else ("", 0)
