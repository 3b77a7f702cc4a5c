"""Strategies that draw a given number of schedules at random, from a seed.

Random picks any task that can run. Pct gives tasks random priorities and takes the highest, and
lowers that of the running one at a few random moments (Burckhardt and others, A Randomized
Scheduler with Probabilistic Guarantees of Finding Bugs, ASPLOS 2010). Pos gives each announced
step a random priority, and a new one to those that conflict with the step that is made (Yuan,
Yang, Gu: Partial Order Aware Concurrency Sampling, CAV 2018).
"""

from random import Random

from untorn.check.runtime.execution import Execution, members
from untorn.check.runtime.location import READ


class Sampling:
    """The common part of the samplers. They prove nothing."""

    tracks = False

    def __init__(self, schedules: int, seed: int = 0) -> None:
        self._left = schedules
        self._draw = Random(seed).random
        self._run: Execution

    def begin(self, run: Execution) -> int:
        """Start a schedule."""
        self._run = run
        run.schedule = []
        return 0

    def pick(self) -> int:
        """Let one of the tasks run that can."""
        # Nothing is recorded: tracking what happened before what costs almost as much as playing.
        # So data races are not seen, and windows of states follow the order of the steps as it is.
        run = self._run
        enabled = run.enabled() if run.may_wait else run.alive
        if not enabled or run.steps >= run.max_steps:
            return self._stop(enabled)
        task = self.choose(enabled)
        run.steps += 1
        run.schedule.append(task)
        return task

    def choose(self, enabled: int) -> int:
        """Return one of some tasks, given as a mask."""
        raise NotImplementedError

    def _stop(self, enabled: int) -> int:
        """Return that no task continues: none can, or there were enough steps."""
        self._run.limited = bool(enabled)
        return self._run.hub

    def end(self) -> bool:
        """Return whether another schedule is wanted."""
        self._left -= 1
        return self._left > 0


class RandomWalk(Sampling):
    """Picks any task that can run, with equal probability."""

    def pick(self) -> int:
        """Draw one, where there is a choice."""
        # As Sampling's, in one piece: here a call costs as much as the draw.
        run = self._run
        enabled = run.enabled() if run.may_wait else run.alive
        if not enabled or run.steps >= run.max_steps:
            return self._stop(enabled)
        if enabled & enabled - 1:
            tasks, draw = members(enabled), self._draw
            task = tasks[int(draw() * len(tasks))]
        else:  # one task alone
            task = enabled.bit_length() - 1
        run.steps += 1
        run.schedule.append(task)
        return task


class Pct(Sampling):
    """Priorities that change at depth - 1 moments; for bugs of that depth.

    The moments are drawn over the length of the longest schedule so far.
    """

    def __init__(self, schedules: int, seed: int = 0, depth: int = 3) -> None:
        super().__init__(schedules, seed)
        self._depth = depth
        self._longest = 1
        self._priorities: list[float] = []
        self._changes: set[int] = set()

    def begin(self, run: Execution) -> int:
        """Draw priorities and moments."""
        kept = super().begin(run)
        draw = self._draw
        self._priorities = [1 + draw() for _ in range(run.hub)]
        self._changes = {int(draw() * self._longest) for _ in range(self._depth - 1)}
        return kept

    def choose(self, enabled: int) -> int:
        """Take the highest priority, which may be about to fall below all others."""
        priorities = self._priorities
        highest = max(members(enabled), key=priorities.__getitem__)
        step = self._run.steps
        # Each moment counts once: the second choice at this step is final.
        if step in self._changes:
            self._changes.discard(step)
            priorities[highest] = min(priorities) - 1
            return self.choose(enabled)
        return highest

    def end(self) -> bool:
        """Learn how long schedules are."""
        self._longest = max(self._longest, self._run.steps)
        return super().end()


class Pos(Sampling):
    """A priority for each announced step."""

    def __init__(self, schedules: int, seed: int = 0) -> None:
        super().__init__(schedules, seed)
        self._priorities: list[float] = []

    def begin(self, run: Execution) -> int:
        """Draw priorities."""
        kept = super().begin(run)
        self._priorities = [self._draw() for _ in range(run.hub)]
        return kept

    def choose(self, enabled: int) -> int:
        """Take the highest; draw anew for it and for those that its step conflicts with."""
        # A task that lost to a conflicting step gets a new priority. Its old one was low, or it
        # would not have lost; keeping it would decide the next such race as well.
        run, priorities = self._run, self._priorities
        chosen = max(members(enabled), key=priorities.__getitem__)
        location, kind = run.locations[chosen], run.kinds[chosen]
        priorities[chosen] = self._draw()
        for task, other in enumerate(run.locations):
            conflicting = other is location and (kind != READ or run.kinds[task] != READ)
            if conflicting and task != chosen:
                priorities[task] = self._draw()
        return chosen
