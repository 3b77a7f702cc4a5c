"""Tell a schedule: a column for each task, and of each step where it is made and what it does."""

from __future__ import annotations

import linecache
import sys
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from untorn.check.execution import Execution
from untorn.check.explore import Theatre
from untorn.check.fields import WATCHED
from untorn.check.location import ACQUIRE, READ, TAKE, Location
from untorn.check.mutants.mutant import Mutant
from untorn.check.primitives import Task
from untorn.check.strategies.replay import Replay
from untorn.mm.mm_struct import MmStruct
from untorn.mm.vma import VM_REFCNT_EXCLUDE_READERS_FLAG as FLAG
from untorn.mm.vma_tree import Node

_HERE = str(Path(__file__).parent)
_WIDTH = 50


@dataclass(slots=True)
class Told:
    """One step, as it was made."""

    task: int
    location: Location
    kind: int
    file: str
    line: int
    before: object
    after: object = None


class Recorder:
    """Notes every step of a run, with the place in the source and the values."""

    def __init__(self, run: Execution) -> None:
        self.steps: list[Told] = []
        self._run = run
        self._point = run.point
        self._places = {
            id(cell): (watched.slot.__get__, owner)
            for watched in WATCHED.values()
            for owner, cell in watched.cells.items()
        }

    def point(self, location: Location, kind: int) -> None:
        """Take the place of Execution.point()."""
        task = self._run.current
        file, line = _place(sys._getframe(1))
        self._point(location, kind)
        self.finish()
        self.steps.append(Told(task, location, kind, file, line, self._value(location)))

    def finish(self) -> None:
        """Note what the last step made of its location."""
        if self.steps:
            self.steps[-1].after = self._value(self.steps[-1].location)

    def _value(self, location: Location) -> object:
        if location.counter is not None:
            return location.counter.value
        if id(location) in self._places:
            get, owner = self._places[id(location)]
            try:
                return get(owner)
            except AttributeError:
                return "gone"
        return location.blocked


def _place(frame: FrameType | None) -> tuple[str, int]:
    """Return the innermost place that is not the checker's."""
    while frame is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    return (frame.f_code.co_filename, frame.f_lineno) if frame is not None else ("", 0)


def tell(theatre: Theatre, mutant: Mutant | None) -> list[str]:
    """Play the schedule of a theatre's Replay strategy and tell it, then what broke.

    Left out are stores that no other task sees, and looks at what no other task changes. > marks
    what raced: the last look of a task at a place before it was preempted, and what another made
    of that place meanwhile.

    Preconditions: inside of watching().
    """
    run, strategy = theatre.run, theatre.strategy
    assert isinstance(strategy, Replay)
    recorder = Recorder(run)
    run.point = recorder.point  # type: ignore[method-assign]
    with theatre.mutated(mutant):
        theatre.play()
        recorder.finish()
        told = _columns(run, recorder.steps, _racing(strategy.preempted, recorder.steps))
    return [*told, "", *str(run.failure or "nothing broke").splitlines()]


def _racing(preempted: list[int], steps: list[Told]) -> set[int]:
    """Return the steps that race over a preemption.

    They are a task's last look at a place, and what another stores there before it goes on.
    """
    marked: set[int] = set()
    for switch in preempted:
        loser = steps[switch - 1].task
        looks = {steps[i].location: i for i in range(switch) if steps[i].task == loser}
        for number in range(switch, len(steps)):
            step = steps[number]
            if step.task == loser:
                break
            if step.kind != READ and step.location in looks and step.kind != ACQUIRE:
                marked |= {looks.pop(step.location), number}
    return marked


def _columns(run: Execution, steps: list[Told], marked: set[int]) -> list[str]:
    names = [task.name for task in run.tasks]
    text = ["step  " + "".join(f"{name:{_WIDTH}}" for name in names).rstrip()]
    users, writers = _who(steps)
    last, left_out = -1, 0
    for number, step in enumerate(steps):
        others = (writers if step.kind == READ else users)[step.location] - {step.task}
        if not others:
            left_out += 1
            continue
        if step.task != last and last >= 0:
            text.append("")
        mark = ">" if number in marked else " "
        column = " " * (_WIDTH * step.task)
        text.append(f"{number:4}{mark} {column}{_what(step)}")
        text.append(f"      {column}    {_source(step)}")
        last = step.task
    return [*text, f"({left_out} steps that are no other task's business left out)"]


def _who(steps: list[Told]) -> tuple[dict[Location, set[int]], dict[Location, set[int]]]:
    """Return for each place the tasks that touch it, and those that change it."""
    users: dict[Location, set[int]] = {}
    writers: dict[Location, set[int]] = {}
    for step in steps:
        users.setdefault(step.location, set()).add(step.task)
        writers.setdefault(step.location, set()).update({step.task} if step.kind != READ else ())
    return users, writers


def _what(step: Told) -> str:
    name = step.location.name
    if step.kind in (ACQUIRE, TAKE):
        return f"takes {name}"
    if step.kind == READ or step.before is step.after:
        return f"{name} is {_value(step.location, step.before)}"
    return f"{name}: {_value(step.location, step.before)} -> {_value(step.location, step.after)}"


def _value(location: Location, value: object) -> str:
    match value:
        case Node():
            return " ".join(f"{start:x}-{end:x}" for start, end, _ in value.slots()) or "empty"
        case MmStruct() | Task():
            return value.name
        case bool() | None:
            return str(value)
        case int() if location.name.endswith((".vm_start", ".vm_end")):
            return f"{value:x}"
        case int() if location.counter and value >= FLAG:
            return f"FLAG+{value - FLAG}"
        case _:
            return str(value)


def _source(step: Told) -> str:
    file = Path(step.file)
    where = step.file if step.file.startswith("<") else f"{file.parent.name}/{file.name}"
    code = linecache.getline(step.file, step.line).split("  #")[0].strip()
    return f"{where}:{step.line}  {code}"[: _WIDTH * 2]
