"""Depth-first searches: what they have in common, and the plain one.

The plain one makes every schedule, or every one with up to a given number of preemptions. A
preemption takes the CPU from a task that could continue; most bugs need few. Musuvathi, Qadeer:
Iterative Context Bounding, PLDI 2007.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from untorn.check.runtime.execution import Execution
from untorn.check.strategies.alike import Alike


class DepthFirst:
    """Each schedule begins as the one before did, up to the last step of its plan.

    Attributes:
        plan: Tasks; the last one is where this schedule departs.
        keep: How many of its steps the trace still has.
    """

    tracks = True

    def __init__(self, plan: tuple[int, ...] = (), budget: float = math.inf) -> None:
        """Make a strategy.

        Args:
            plan: How the first schedule begins.
            budget: Steps; the schedule that uses them up is the last one, even if others are left.
        """
        self.plan = list(plan)
        self.keep = 0
        self._budget = budget
        self._begun = False
        self._run: Execution

    def begin(self, run: Execution) -> int:
        """Start a schedule; return how many steps at its start are those of the one before."""
        # The last step of the plan is another one than in the schedule before; those before it are
        # the same, and so is all that the trace has of them.
        self._run = run
        self.keep = len(self.plan) - 1 if self._begun else 0
        self._begun = True
        run.trace.begin(run.hub, self.keep)
        run.schedule = run.trace.tasks
        return self.keep

    def depart(self, path: Sequence[int], index: int, task: int) -> None:
        """Let the next schedule be one that was made up to a step, which task makes."""
        self.plan = [*path[:index], task]

    def _afford(self) -> bool:
        """Pay for the schedule that was made; return whether there may be another one."""
        self._budget -= self._run.steps
        return self._budget > 0


class Rest(NamedTuple):
    """The rest of a plain search: the schedules that leave one that was made."""

    path: tuple[int, ...] = ()
    """The tasks that made its steps."""
    left: tuple[int, ...] = ()
    """Of each step, a mask of the tasks still to be tried there."""

    def cut(self, most: int) -> "list[Rest]":
        """Cut it into parts; together, in this order, they make the same schedules."""
        # In the order in which they are tried: from the end, as those there are soon done.
        places = range(len(self.path) - 1, -1, -1)
        tries = [(i, 1 << t) for i in places for t in bits(self.left[i])]
        size = max(1, math.ceil(len(tries) / most))
        return [self._only(tries[i : i + size]) for i in range(0, len(tries), size)]

    def _only(self, tries: Sequence[tuple[int, int]]) -> "Rest":
        end = tries[0][0] + 1
        left = [0] * end
        for place, bit in tries:
            left[place] |= bit
        return Rest(self.path[:end], tuple(left))


EVERYTHING = Rest()
"""Of a search that has not begun."""


def bits(mask: int) -> list[int]:
    """Return the numbers of the bits that are set, in order."""
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]


class Dfs(DepthFirst):
    """Strategy; complete up to the bound.

    Attributes:
        preemptions: The bound, None for every schedule.
    """

    def __init__(
        self,
        preemptions: int | None = None,
        rest: Rest = EVERYTHING,
        budget: float = math.inf,
    ) -> None:
        """Make a strategy.

        Args:
            preemptions: See there.
            rest: Explore this part; all by default.
            budget: See DepthFirst; what is left is then rest().
        """
        super().__init__((), budget)
        self.preemptions = preemptions
        self._left = list(rest.left)
        self._spent = 0
        self._spent_before: list[int] = []  # of each step
        self._alike = Alike(preemptions) if preemptions else None
        self._next(rest.path)

    def begin(self, run: Execution) -> int:
        """Start a schedule."""
        kept = super().begin(run)
        del self._spent_before[kept + 1 :]
        self._spent = self._spent_before[kept] if kept else 0
        return kept

    def pick(self) -> int:
        """Follow the plan; then go on with the running task while that is possible."""
        run = self._run
        index = run.steps
        run.steps = index + 1
        # As in source-DPOR: these were made before, and need no new decision.
        if index < self.keep:
            task = self.plan[index]
            run.trace.now[task] = run.trace.clocks[index]
            return task
        if index == len(self._spent_before):
            self._spent_before.append(self._spent)
        enabled = run.enabled()
        running = enabled & 1 << run.current  # 0 if it waits or has ended: no preemption then
        if index < len(self.plan):
            task = self.plan[index]
        elif not enabled or index >= run.max_steps:
            run.limited = bool(enabled)
            return run.hub
        else:
            chosen = running or enabled & -enabled
            others = enabled & ~chosen
            # Continuing with the running task costs nothing, so a schedule can always be ended.
            if running and self._spent == self.preemptions:
                others = 0
            self._left.append(others)
            task = chosen.bit_length() - 1
        if running and task != run.current:
            self._spent += 1
        run.trace.record(task, run.locations[task], run.kinds[task])
        return task

    def end(self) -> bool:
        """Turn to the next schedule: another task at the last place where one is left."""
        if self._alike is not None:
            run = self._run
            run.alike = self._alike.played(run, len(self.plan) - 1, self._spent, self._left)
        return self._afford() and self._next(self._run.trace.tasks)

    def rest(self) -> Rest:
        """Return what is left."""
        return Rest(tuple(self._run.trace.tasks[: len(self._left)]), tuple(self._left))

    def _next(self, path: Sequence[int]) -> bool:
        # Of what is not tried yet, the latest: what comes before it stays as it is.
        left = self._left
        while left:
            if not left[-1]:
                left.pop()
                continue
            bit = left[-1] & -left[-1]
            left[-1] &= ~bit
            alike = self._alike.known(path, len(left) - 1) if self._alike and self._begun else ()
            if not alike:
                self.depart(path, len(left) - 1, bit.bit_length() - 1)
                return True
            self._run.alike += alike
        return False
