"""Schedules of two tasks that a bounded search can skip, because it played an equivalent one.

Two schedules are alike if they differ only in the order of steps that commute. Then all that
follows is the same, and so is the verdict, as with source-DPOR. A search that tries its preemptions
from the end finds that most of its schedules are alike to the one before: there the preemption came
one step later, and the other task has not learned of that step. The clocks of the trace say what a
task has learned of; a race is found in the schedule that was played.

This does not cover checks of a task that goes to sleep, which depend on the place of the other one.
So such a task is not skipped if there are such checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from untorn.check.runtime.execution import Execution
from untorn.check.runtime.location import SharedLocation


@dataclass(slots=True)
class Turn:
    """The turn of a task that runs after a preemption, until it waits or ends.

    Attributes:
        place: The step at which it began to run.
        known: After each of its steps, how many ticks of the other task it knows of.
        waits_at: What it waits for; None if it ends.
        steps: Of the schedule.
        cut: By how many of its steps were made when the last preemption came: the steps of that
            schedule.
    """

    place: int
    known: list[int]
    waits_at: SharedLocation | None
    steps: int
    cut: dict[int, int] = field(default_factory=dict)

    @property
    def is_cut_everywhere(self) -> bool:
        """Whether each of its steps but the first was seen to come after another preemption."""
        return self.waits_at is None and len(self.cut) == len(self.known) - 1


class Alike:
    """The schedules that were played last, and those that are alike to them."""

    def __init__(self, preemptions: int) -> None:
        """Begin.

        Args:
            preemptions: The bound of the search.
        """
        self._bound = preemptions
        self._run: Execution
        self._last: Turn | None = None  # begun by the last preemption
        self._outer: Turn | None = None  # by the last but one
        self._moved = 0  # tick of the step that the outer turn is to come before, not after

    def played(self, run: Execution, place: int, spent: int, left: list[int]) -> list[int]:
        """Record a schedule; strike out alike ones among those that are left to be tried.

        Args:
            run: The execution that played it.
            place: Where it departed from the one before.
            spent: Its preemptions, the last of which was there.
            left: Of each step a mask of the tasks to be tried there.

        Returns:
            The steps of each schedule that was struck out.
        """
        self._run = run
        turn, self._last = self._turn(run, place), None
        if spent == self._bound:
            self._note(place, run.steps)
            if turn and (turn.waits_at is None or run.tasks[run.trace.tasks[place]].sleeps is None):
                self._last = turn
            return []
        before, self._outer = self._outer, turn if spent == self._bound - 1 else None
        if before and self._outer and self._moved:
            self._strike_out(before, self._outer, left)
            return list(self._outer.cut.values())
        return []

    def known(self, path: Sequence[int], place: int) -> list[int]:
        """Return the steps of the schedules to skip; if there are none, play the next one.

        Args:
            path: The tasks of the current schedule.
            place: Where the next one lets the other task run.
        """
        self._moved = 0
        # The task that is preempted at the place made the step there in the current schedule, and
        # was running before: so the same preemption begins both turns, one step earlier.
        if not place or path[place - 1] != path[place]:
            return []
        trace, last, outer = self._run.trace, self._last, self._outer
        tick = trace.clocks[place][path[place]]
        if last and last.place == place + 1:
            if last.known[-1] >= tick or last.waits_at is trace.locations[place]:
                return []
            last.place = place
            self._note(place, last.steps)
            return [last.steps]
        if not outer or outer.place != place + 1:
            return []
        if outer.known[-1] < tick and outer.is_cut_everywhere:
            outer.place = place
            return [outer.steps, *outer.cut.values()]
        self._moved = tick
        return []

    def _strike_out(self, before: Turn, outer: Turn, left: list[int]) -> None:
        """Strike out last preemptions that came in the outer turn before, after as many steps.

        Both are the same turn for as long as nothing is known of the step that has moved from
        before it to its end.
        """
        for made, steps in before.cut.items():
            if before.known[made - 1] < self._moved and left[outer.place + made]:
                outer.cut[made] = steps
                left[outer.place + made] = 0

    def _note(self, place: int, steps: int) -> None:
        """Note the steps of a schedule whose last preemption came at a place."""
        outer = self._outer
        if outer and place - outer.place < len(outer.known):
            outer.cut[place - outer.place] = steps

    @staticmethod
    def _turn(run: Execution, place: int) -> Turn | None:
        """Return the turn that began at a place; None if nothing is known of it."""
        tasks, locations = run.trace.tasks, run.trace.locations
        # With a third task another one might run in between; before step 0 no task is preempted.
        if run.hub != 2 or place < 1 or run.limited or run.asleep:
            return None
        task, other = tasks[place], 1 - tasks[place]
        end = tasks.index(other, place)
        known = [clock[other] for clock in run.trace.clocks[place:end]]
        waits_at = locations[tasks.index(task, end)] if task in tasks[end:] else None
        return Turn(place, known, waits_at, run.steps)
