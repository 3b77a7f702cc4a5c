"""The states published in one run, in order, and the window of a look."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from untorn.check.runtime import running
from untorn.check.runtime.execution import Execution
from untorn.check.stage.readers import ReaderLook

S = TypeVar("S")


@dataclass(slots=True)
class Published(Generic[S]):
    """States of an object that tasks change and look at.

    Attributes:
        states: In order, each once; states[0] is what the scenario set up.
        steps: The step that published each; -1 for the first.
    """

    states: list[S] = field(init=False, default_factory=list)
    steps: list[int] = field(init=False, default_factory=list)
    _kept: int = field(init=False, default=0)

    def keep(self, steps: int) -> None:
        """Start a run whose first steps are those of the run before."""
        # States published by kept steps are already recorded, and note() skips them. All others are
        # recorded again while the steps are repeated.
        known = bisect_left(self.steps, steps)
        del self.states[known:], self.steps[known:]
        self._kept = steps

    def note(self, state: Callable[[], S]) -> None:
        """Note what the running task has published by its last step."""
        run = running.run
        if run is not None and run.steps > self._kept:
            self.publish(run.steps - 1, state)

    def publish(self, step: int, state: Callable[[], S]) -> None:
        """Add a state, if it differs from the last one."""
        # Looking at the state runs production code, but is no task's step.
        now = running.unseen(state)
        if not self.states or now != self.states[-1]:
            self.states.append(now)
            self.steps.append(step)

    def window(self, run: Execution, look: ReaderLook, *, early: bool = False) -> tuple[int, int]:
        """Return the first and last version in the window of a look.

        All orders of the steps with the same happened-before relation are equivalent, so this is
        the narrowest window among them: it excludes states that could as well have been published
        before the first step of the look, or after its last one. A state for which both are
        possible counts as published before; with early, as published after.
        """
        # As the steps stand: from the state that was current when the look's first step was made to
        # the one that was current at its last.
        trace, steps = run.trace, self.steps
        if not run.tracks:
            first_step = run.schedule.index(look.task, look.began)
            return bisect_left(steps, first_step) - 1, bisect_left(steps, look.ended) - 1
        first_step = trace.tasks.index(look.task, look.began)
        first = trace.last_known(steps, first_step)
        before, missed = trace.happened_before, trace.missed(first_step, look.ended)
        # The end can be moved back to the last state whose publication happened before the look's
        # last step. The start can be moved past states whose publication does not know of the
        # look's first step, unless the look has missed it. Neither changes what happened before
        # what.
        last = len(steps) - 1
        lowest = last
        while lowest > first and not (
            steps[lowest] <= look.ended and before(steps[lowest], look.ended)
        ):
            lowest -= 1
        highest = first
        while highest < last:
            following = steps[highest + 1]
            if before(first_step, following) or any(before(store, following) for store in missed):
                break
            highest += 1
        return (min(highest, lowest), lowest) if early else (highest, max(highest, lowest))
