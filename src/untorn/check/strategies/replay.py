"""One schedule, unchanged or with some of its switches left out."""

from collections.abc import Mapping

from untorn.check.runtime.execution import Execution
from untorn.check.runtime.location import NEVER


class Replay:
    """Strategy: continue with the running task, except at given steps.

    If a task that should run cannot, or the running one cannot continue, the first that can does.

    Attributes:
        tracks: As that of the strategy whose schedule it is: what is found depends on it.
        switches: Steps at which another task ran, or a load saw a message older than the newest;
            for that value see ChoosingDpor.
        stopped: Steps at which a task was preempted, or had to wait.
        missed: Steps at which the given task could not run.
    """

    def __init__(self, given: Mapping[int, int], *, tracks: bool = True) -> None:
        """Make a strategy.

        Args:
            given: Step to task, for all steps or only for those where the task changes; under
                weak memory to a transition.
            tracks: See there.
        """
        self.tracks = tracks
        self.switches: dict[int, int] = {}
        self.stopped: list[int] = []
        self.missed: list[int] = []
        self._given = given
        self._run: Execution

    def begin(self, run: Execution) -> int:
        """Start the schedule."""
        self._run = run
        self.switches.clear()
        self.stopped.clear()
        self.missed.clear()
        run.trace.begin(run.hub)
        run.schedule = []
        return 0

    def pick(self) -> int:
        """Return the given task if it can run."""
        run = self._run
        step, enabled = run.steps, run.enabled()
        if not enabled or step >= run.max_steps:
            run.limited = bool(enabled)
            return run.hub
        # The default is the same in every schedule with the same beginning: so a schedule can be
        # kept as its switches alone.
        goes_on = enabled >> run.current & 1
        usual = run.current if goes_on else (enabled & -enabled).bit_length() - 1
        choice, task = divmod(self._given.get(step, usual), run.hub)
        # With other switches left out, a task that should run may have to wait. Continuing is as
        # good as giving up: shrinking only looks at what breaks in the end.
        there = enabled >> task & 1
        if not there:
            choice, task = 0, usual
        if not run.trace.choose(task, run.locations[task], run.kinds[task], choice) or not there:
            self.missed.append(step)
        code = run.trace.choice * run.hub + task
        if code != usual:
            self.switches[step] = code
        if task != run.current and step and run.kinds[run.current] != NEVER:
            self.stopped.append(step)
        run.steps = step + 1
        run.schedule.append(code)
        if self.tracks:
            run.trace.record(task, run.locations[task], run.kinds[task])
        return task

    def end(self) -> bool:
        """Return false: there is no other schedule."""
        return False
