"""One schedule, written by hand: run a task until it is about to make a given step."""

from collections.abc import Sequence
from dataclasses import dataclass

from untorn.check.runtime.execution import Execution
from untorn.check.runtime.location import COUNT_IN, NEVER, READ


@dataclass(frozen=True, slots=True)
class Until:
    """Run a task until it is about to make a step on a location.

    Attributes:
        task: Its name.
        location: Its name in traces; None to run until the task ends or has to wait.
        skip: The number of such steps that it makes before.
        store: Whether only steps that change something count.
        ends: Without a location: whether it must end; waiting is then not enough.
    """

    task: str
    location: str | None = None
    skip: int = 0
    store: bool = False
    ends: bool = False


class NotFollowedError(Exception):
    """A task ended or waited before it reached the place in the script."""


class Script:
    """Strategy; follows directives one after the other, and fails if it cannot."""

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
        """Return the task of the current directive."""
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
        # After the last directive all tasks run to their ends, in order.
        return self._step((enabled & -enabled).bit_length() - 1) if enabled else run.hub

    def _stopped_well(self, task: int) -> bool:
        """Return whether a task that cannot continue is where it should be."""
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
