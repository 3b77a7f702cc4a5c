"""Source-DPOR under weak memory, where a load may see any of several messages.

Searches choose, try and put to sleep transitions: steps with the message that they read. If a task
is to be tried, so is every message that its load may see. A load with a given message commutes with
every store, so no store wakes it; the message that the store makes is another transition. There are
two kinds of races besides those of sequential consistency:

- an unordered load and later store: the load could see that store;
- a store and a later read-modify-write that was refused: before the store it might not have been.

Checked against plain search on random programs, and against herd7.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from untorn.check.memory.orders import Order
from untorn.check.memory.weak_trace import Refuses, WeakTrace
from untorn.check.runtime.execution import Execution, members
from untorn.check.runtime.location import COUNT, COUNT_IN, COUNT_OUT, READ, SharedLocation
from untorn.check.strategies.branch import ALL, Branch, Root
from untorn.check.strategies.source_dpor import Frame, SourceDpor

MOST = 256
"""More messages than any location has in a schedule."""


class ChoosingDpor(SourceDpor):
    """Strategy; complete for programs that end.

    A transition is a number: that of the task, and the number of tasks times the choice (see
    Trace.choice). A task alone stands for all of its choices. Of a Frame, done, sleep and left are
    of transitions, enabled and backtrack of tasks; a task in done has had its choices looked at.
    """

    def __init__(self, branch: Branch = ALL, budget: float = math.inf) -> None:
        super().__init__(branch, budget)
        self._codes: list[int] = []
        self._refused: list[tuple[int, SharedLocation, int, Order, Refuses, int]] = []

    def begin(self, run: Execution) -> int:
        """Start a schedule."""
        assert isinstance(run.trace, WeakTrace)
        self._weak = run.trace
        self._ones = ((1 << run.hub * MOST) - 1) // ((1 << run.hub) - 1)  # a bit for each choice
        kept = super().begin(run)
        del self._codes[kept:]
        self._refused.clear()
        run.schedule = self._codes
        return kept

    def pick(self) -> int:
        """Follow the plan; then continue with the running task as long as possible."""
        run = self._run
        index = run.steps
        run.steps = index + 1
        if index < self.keep:
            task = self.plan[index] % run.hub
            self._weak.again(task, index)
            return task
        if index >= len(self._frames):
            return self._extend(run, index)
        frame = self._frames[index]
        sleep = self._expanded(frame.sleep | frame.done)
        return self._go(frame, self.plan[index], sleep)

    def _extend(self, run: Execution, index: int) -> int:
        enabled = run.enabled() if run.may_wait else run.alive
        awake = self._awake_tasks(enabled) if self._sleep else enabled
        if enabled and not awake:
            return self._sleep_all()
        if not enabled or index >= run.max_steps:
            run.limited = bool(enabled)
            return run.hub
        if index < len(self.plan):
            code = self.plan[index]
        elif awake >> run.current & 1:
            code = run.current
        else:
            code = (awake & -awake).bit_length() - 1
        sleep = self._sleep
        if index == len(self._branch.plan) - 1:
            sleep = self._expanded(self._branch.asleep)
        frame = Frame(enabled, 1 << code % run.hub, 0, sleep)
        self._frames.append(frame)
        return self._go(frame, code, sleep)

    def _awake_tasks(self, enabled: int) -> int:
        awake = 0
        for task in members(enabled):
            if not self._sleep >> task & self._ones or self._awake(task, self._sleep):
                awake |= 1 << task
        return awake

    def _awake(self, task: int, sleep: int) -> list[int]:
        """Return the transitions of a task that are awake, that of the newest message first."""
        run = self._run
        choices = self._weak.options(task, run.locations[task], run.kinds[task])
        codes = [choice * run.hub + task for choice in choices] or [task]
        return [code for code in codes if not sleep >> code & 1]

    def _expanded(self, sleep: int) -> int:
        """Return transitions with each choice of a task by itself, where there are some."""
        run = self._run
        for task in members(sleep & (1 << run.hub) - 1):
            codes = self._awake(task, 0)
            if codes != [task]:
                sleep &= ~(1 << task)
                for code in codes:
                    sleep |= 1 << code
        return sleep

    def _go(self, frame: Frame, code: int, sleep: int) -> int:
        """Make a transition, or one of a task's; its others that are awake remain to be tried."""
        frame.done |= 1 << code % self._run.hub
        if code < self._run.hub:
            codes = self._awake(code, sleep)
            if not codes:
                return self._sleep_all()
            code, *others = codes
            for other in others:
                frame.left |= 1 << other
        frame.done |= 1 << code
        return self._step(code, sleep)

    def _step(self, task: int, sleep: int) -> int:
        """Make a transition; sleeping ones stay asleep if their own step commutes with it."""
        run, trace = self._run, self._weak
        code, (choice, task) = task, divmod(task, run.hub)
        place = run.locations[task]
        trace.choice = choice
        settled = trace.record(task, place, run.kinds[task])
        self._codes.append(code)
        sleep &= ~(self._ones << task)
        if sleep:
            for other, location in enumerate(run.locations):
                if location is place and sleep >> other & self._ones:
                    sleep = self._woken(sleep, settled, other)
        self._sleep = sleep
        return task

    def _woken(self, sleep: int, settled: int, other: int) -> int:
        counts = self._run.kinds[other] in (COUNT_IN, COUNT_OUT)
        if settled == READ:
            # A load of a count that readers change is ordered with them, as under sequential
            # consistency.
            return sleep & ~(self._ones << other) if counts else sleep
        if settled == COUNT:
            return sleep if counts else sleep & ~(self._ones << other)
        # A load stays asleep, and so does a refused one. A read of the newest message is a new
        # transition.
        return sleep & ~(1 << other)

    def end(self) -> bool:
        """Look at the races of the schedule and turn to the next one."""
        trace = self._weak
        for step, found in trace.races.items():
            if step >= self.keep:
                found[:] = [earlier for earlier in found if trace.is_race(earlier, step)]
        return super().end()

    def _sleep_all(self) -> int:
        """Give up the schedule: another one did all that can run; return no task."""
        # A sleeping task that would be refused might have succeeded before some store. Nothing else
        # would show that, because the step is not made.
        run, trace = self._run, self._weak
        run.slept = True
        for task in members(run.alive):
            location, kind = run.locations[task], run.kinds[task]
            order, refuses = trace.announced(task)
            choices = trace.options(task, location, kind)
            if refuses is not None and choices:
                self._refused.append((task, location, kind, order, refuses, choices[-1]))
        return run.hub

    def _reverse_waiting(self) -> None:
        """Check the races of steps that tasks would have made but waited or slept, too."""
        super()._reverse_waiting()
        trace = self._weak
        step = len(trace.tasks)
        for task, location, kind, order, refuses, choice in self._refused:
            trace.announce(task, order, rmw=True, refuses=refuses)
            trace.choice = choice
            if trace.record(task, location, kind) == READ:
                for earlier in trace.races.get(step, ()):
                    self._reverse(earlier, step)
            trace.begin(self._run.hub, keep=step)

    def _is_covered(self, frame: Frame, initials: int, firsts: Mapping[int, int]) -> bool:
        if initials & frame.backtrack:
            return True
        racing = max(firsts.values())
        for task, first in firsts.items():
            if initials >> task & 1:
                code = self._codes[first] if first < len(self._codes) else task
                # A refused step that would now succeed is a transition that was not seen yet.
                refused = first == racing and self._was_refused(first)
                if frame.sleep >> code & 1 and not refused:
                    return True
        return False

    def _was_refused(self, step: int) -> bool:
        return step < len(self._weak.made) and self._weak.made[step].refused

    def root(self) -> Root:
        """Return the last schedule that was made, as the root of branches."""
        root = super().root()
        root.path = tuple(self._codes)
        return root

    def _next(self) -> bool:
        # As in SourceDpor. Of the last step of a branch's start the choices are the branch's own.
        frames, start = self._frames, len(self._branch.plan)
        while frames and len(frames) >= start:
            frame = frames[-1]
            left = frame.left
            if left:
                frame.left &= left - 1
            elif len(frames) > start:
                left = frame.backtrack & ~frame.done & ~frame.sleep
            if left:
                code = (left & -left).bit_length() - 1
                self.depart(self._codes, len(frames) - 1, code)
                return True
            frames.pop()
        return False
