"""What complete strategies have in common: a plan, and how much of it was made before."""

from untorn.check.execution import Execution


class Planned:
    """Each schedule begins as the one before did, up to the last step of its plan.

    Attributes:
        plan: Tasks; the last one is where this schedule departs.
        keep: How many of its steps the trace still has.
    """

    tracks = True

    def __init__(self, plan: tuple[int, ...] = ()) -> None:
        self.plan = list(plan)
        self.keep = 0
        self._begun = False
        self._run: Execution

    def begin(self, run: Execution) -> int:
        """Start a schedule; return how many steps at its start are those of the one before."""
        self._run = run
        self.keep = len(self.plan) - 1 if self._begun else 0
        self._begun = True
        run.trace.begin(run.hub, self.keep)
        run.schedule = run.trace.tasks
        return self.keep

    def depart(self, index: int, task: int) -> None:
        """Let the next schedule be this one up to a step, which task makes."""
        self.plan = [*self._run.trace.tasks[:index], task]
