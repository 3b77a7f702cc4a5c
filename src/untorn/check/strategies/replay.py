"""One schedule, as it was."""

from collections.abc import Sequence

from untorn.check.execution import Execution


class Replay:
    """Strategy: make the steps of a given schedule, or come near it.

    The tasks are those of the schedule as long as they can run; where one cannot, or behind the
    end of the schedule, the running task goes on, else the first that can.

    Attributes:
        followed: Every step was the given one.
    """

    tracks = True

    def __init__(self, schedule: Sequence[int]) -> None:
        self.followed = True
        self._given = schedule
        self._run: Execution

    def begin(self, run: Execution) -> int:
        """Start the schedule."""
        self._run = run
        self.followed = True
        run.trace.begin(run.hub)
        run.schedule = run.trace.tasks
        return 0

    def pick(self) -> int:
        """Return the given task if it can run."""
        run = self._run
        index = run.steps
        enabled = run.enabled()
        if not enabled or index >= run.max_steps:
            run.limited = bool(enabled)
            self.followed &= index >= len(self._given)
            return run.hub
        wanted = self._given[index] if index < len(self._given) else run.current
        if not enabled >> wanted & 1:
            self.followed &= index >= len(self._given)
            wanted = run.current
        if not enabled >> wanted & 1:
            wanted = (enabled & -enabled).bit_length() - 1
        run.steps = index + 1
        run.trace.record(wanted, run.locations[wanted], run.kinds[wanted])
        return wanted

    def end(self) -> bool:
        """There is no other."""
        return False
