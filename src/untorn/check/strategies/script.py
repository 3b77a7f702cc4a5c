"""One schedule, written by hand: let this task go on until it is about to do that."""

from collections.abc import Sequence
from dataclasses import dataclass

from untorn.check.runtime.execution import Execution
from untorn.check.runtime.location import COUNT_IN, NEVER, READ


@dataclass(frozen=True, slots=True)
class Until:
    """Let a task go on until it is about to make a step on a location.

    Attributes:
        task: Its name.
        location: As traces name it; None until the task ends or has to wait.
        skip: How many such steps it makes before.
        store: Only steps that change something count.
        ends: Without a location: it must end; to have to wait is not enough.
    """

    task: str
    location: str | None = None
    skip: int = 0
    store: bool = False
    ends: bool = False


class NotFollowedError(Exception):
    """A task ended or waited before it came to where the script wants it."""


class Script:
    """Strategy; follows directives one after the other, and fails where that is not possible."""

    tracks = True

    def __init__(self, script: Sequence[Until]) -> None:
        self._script = script
        self._run: Execution

    def begin(self, run: Execution) -> int:
        """Start the schedule."""
        self._run = run
        self._left = list(self._script)
        self._skipped = 0
        run.trace.begin(run.hub)
        run.schedule = run.trace.tasks
        return 0

    def pick(self) -> int:
        """Return the task of the directive at hand."""
        run = self._run
        enabled = run.enabled()
        if run.steps >= run.max_steps:
            run.limited = True
            return run.hub
        # A directive that has been followed is dropped and the next one looked at, without a step.
        while self._left:
            task = [each.name for each in run.tasks].index(self._left[0].task)
            if enabled >> task & 1 and not self._arrived(task):
                return self._step(task)
            if not enabled >> task & 1 and not self._stopped_well(task):
                until = self._left[0]
                where = until.location or "its end"
                run.failure = NotFollowedError(f"{until.task} does not come to {where}")
                return run.hub
            self._left.pop(0)
            self._skipped = 0
        # After the last directive everybody goes on to the end, in their order.
        return self._step((enabled & -enabled).bit_length() - 1) if enabled else run.hub

    def _stopped_well(self, task: int) -> bool:
        """Say whether a task that cannot go on stands where it is to be."""
        until = self._left[0]
        if until.ends:
            return self._run.kinds[task] == NEVER
        return until.location is None or self._arrived(task)

    def _arrived(self, task: int) -> bool:
        # Asked once for each step that the task announces, right before the step would be made. So
        # each one that is to be skipped is counted once.
        run, until = self._run, self._left[0]
        if run.locations[task].name != until.location:
            return False
        if until.store and run.kinds[task] in (READ, COUNT_IN):
            return False
        self._skipped += 1
        return self._skipped > until.skip

    def _step(self, task: int) -> int:
        run = self._run
        run.steps += 1
        run.trace.record(task, run.locations[task], run.kinds[task])
        return task

    def end(self) -> bool:
        """There is no other."""
        return False
