"""Print a schedule: a column for each task, and for each step its place and its effect."""

from __future__ import annotations

import linecache

from untorn.check.explore import Theatre
from untorn.check.memory.weak_trace import BARRIERS
from untorn.check.mutants.order_mutant import AnyMutant
from untorn.check.oracle.failure import describe, is_error, source_line
from untorn.check.runtime.execution import Execution
from untorn.check.runtime.fields import DataRaceError
from untorn.check.runtime.location import ACQUIRE, READ, TAKE, WRITE, SharedLocation
from untorn.check.runtime.primitives import WAKE_UP, Task
from untorn.check.strategies.replay import Replay
from untorn.check.telling.recorder import Cell, Recorder, Told
from untorn.mm.mm_types import VM_REFCNT_EXCLUDE_READERS_FLAG as FLAG
from untorn.mm.mm_types import MmStruct
from untorn.mm.tree.vma_tree import Node

_WIDTH = 50


def tell(theatre: Theatre, mutant: AnyMutant | None) -> list[str]:
    """Play the schedule of a theatre's Replay or Script strategy and tell it, then what broke.

    Loads of places that no other task changes, stores that no other task sees, and accesses to
    guarded fields are left out. > marks a race: a task's last load of a place before it was
    preempted or had to wait, and another task's store there meanwhile; ! marks the two accesses of
    a data race. If a schedule does not end, its repeated part is printed once.

    Preconditions: inside of watching().
    """
    run, strategy = theatre.run, theatre.strategy
    recorder = Recorder(run)
    with theatre.mutated(mutant):
        theatre.play()
        recorder.finish()
        told, steps = recorder.told, recorder.steps
        stopped = strategy.stopped if isinstance(strategy, Replay) else []
        marks = dict.fromkeys(_over_stops(stopped, steps), ">")
        marks |= dict.fromkeys(_data_race(run, told), "!")
        shown = set(marks)
        outcome = describe(run.failure) or "nothing broke"
        if run.limited:
            again, end = _loop(steps)
            told = [each for each in told if each.number is None or each.number < end]
            shown.update(steps[again:end])
            outcome = f"does not end: steps {again} to {end - 1} again and again"
        elif is_error(run.failure):
            shown.update(steps[-3:])
        return [*_columns(run, told, shown, marks), "", *outcome.splitlines()]


def _over_stops(stopped: list[int], steps: list[Told]) -> list[Told]:
    """Return the steps that race while a task is paused.

    They are its last load of a place, and another task's store there before it continues.
    """
    racing: list[Told] = []
    for switch in stopped:
        loser = steps[switch - 1].task
        looks = {each.cell: each for each in steps[:switch] if each.task == loser}
        for step in steps[switch:]:
            if step.task == loser:
                break
            if step.cell in looks and step.before != step.after:
                racing += [looks.pop(step.cell), step]
    return racing


def _data_race(run: Execution, told: list[Told]) -> list[Told]:
    """Return the two accesses of a data race; the later one was about to be made."""
    if not isinstance(run.failure, DataRaceError):
        return []
    later = told[-1]
    of_other = (e for e in reversed(told) if e.cell is later.cell and e.task == run.failure.other)
    return [next(e for e in of_other if WRITE in (e.kind, later.kind)), later]


def _loop(steps: list[Told]) -> tuple[int, int]:
    """Return where the first round of the repeated part at the end begins and ends.

    If there is none, all is one round.
    """
    did = [(each.task, each.cell, each.kind, each.file, each.line) for each in steps]
    for length in range(1, len(did) // 2):
        if did[-length:] == did[-2 * length : -length]:
            first = len(did) - 2 * length
            while first and did[first - 1] == did[first - 1 + length]:
                first -= 1
            return first, first + length
    return 0, len(did)


def _columns(
    run: Execution, told: list[Told], shown: set[Told], marks: dict[Told, str]
) -> list[str]:
    text = ["step  " + "".join(f"{task.name:{_WIDTH}}" for task in run.tasks).rstrip()]
    users, writers = _who(told)
    last, left_out = -1, 0
    for each in told:
        others = (writers if each.kind == READ else users).get(each.cell, set()) - {each.task}
        if each not in shown and not others:
            left_out += each.number is not None
            continue
        if each.task != last and last >= 0:
            text.append("")
        mark = marks.get(each, " ")
        column = " " * (_WIDTH * each.task)
        number = "" if each.number is None else each.number
        what = [f"{column}{line}" for line in _what(each)]
        text += [f"{number:4}{mark} {what[0]}", *(f"      {line}" for line in what[1:])]
        text.append(f"      {column}    {_source(each)}")
        last = each.task
    return [*text, f"({left_out} steps that are no other task's business left out)"]


def _who(told: list[Told]) -> tuple[dict[Cell, set[int]], dict[Cell, set[int]]]:
    """Return for each place of steps the tasks that touch it, and those that change it."""
    users: dict[Cell, set[int]] = {}
    writers: dict[Cell, set[int]] = {}
    for step in told:
        if step.number is not None:
            users.setdefault(step.cell, set()).add(step.task)
            writers.setdefault(step.cell, set()).update({step.task} if step.kind != READ else ())
    return users, writers


def _what(told: Told) -> list[str]:
    """Return the effect of an access; in two lines if the values are long."""
    name, before, after = told.cell.name, *(_value(told, v) for v in (told.before, told.after))
    if told.kind in (ACQUIRE, TAKE):
        return [f"takes {name}"]
    if name.startswith(WAKE_UP):
        return [f"gives {name}"]
    if name == BARRIERS:
        return [BARRIERS]
    if told.kind == WRITE and not told.made:
        return [f"about to store {name}, which is {before}"]
    if told.stale is not None:
        newest, step = told.stale
        stale = f"{name} is {before}, not {_value(told, newest)} (step {step}):"
        return [stale, "    nothing orders the two"]
    if told.kind == READ or (told.kind != WRITE and told.before == told.after):
        return [f"{name} is {before}"]
    change = f"{name}: {before} -> {after}"
    if len(change) <= _WIDTH:
        return [change]
    return [f"{name}: {before}", f"{' ' * len(name)} -> {after}"]


def _value(told: Told, value: object) -> str:
    match value:
        case Node():
            return " ".join(f"{start:x}-{end:x}" for start, end, _ in value.slots()) or "empty"
        case MmStruct() | Task():
            return value.name
        case bool() | None:
            return str(value)
        case int() if told.cell.name.endswith("vm_flags"):
            return f"{value:#x}"
        case int() if told.cell.name.endswith((".vm_start", ".vm_end")):
            return f"{value:x}"
        case int() if isinstance(told.cell, SharedLocation) and told.cell.counter and value >= FLAG:
            return f"FLAG+{value - FLAG}"
        case int() | bytes() | str() | tuple():
            return str(value)
        case _:
            return type(value).__name__


def _source(told: Told) -> str:
    code = linecache.getline(told.file, told.line).split("  #")[0].strip()
    return f"{source_line(told.file, told.line)}  {code}"[: _WIDTH * 2]
