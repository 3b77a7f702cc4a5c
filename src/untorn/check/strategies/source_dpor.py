"""Every schedule that can differ in its outcome, one of each kind: source-DPOR with sleep sets.

After each schedule its races are looked at: two steps that conflict and could be made the other
way round. Where the first was chosen, a task is put down to be tried that begins such an order,
unless one was already (a source set). A task that was tried at some place sleeps in the schedules
tried there later, until a step conflicts with the one it would make.

Abdulla, Aronis, Jonsson, Sagonas: Optimal Dynamic Partial Order Reduction, POPL 2014. What departs
from it: steps that wait (a race with a step that cannot be made first is none), and steps that
commute by declaration (location.py). Checked against plain depth-first search on random programs.
"""

from dataclasses import dataclass

from untorn.check.runtime.execution import Execution
from untorn.check.runtime.location import Location, conflict
from untorn.check.strategies.branch import ALL, Branch, Request, Root
from untorn.check.strategies.depth_first import DepthFirst


@dataclass(slots=True)
class Frame:
    """One place of the schedule at hand: before the step with the same index.

    Attributes:
        enabled, backtrack, done, sleep: Masks of tasks: that could run here; that are to be
            tried; that were, the one at hand included; that need not be, as it was done elsewhere.
        locations, kinds: The step that each task wanted to make.
    """

    enabled: int
    backtrack: int
    done: int
    sleep: int
    locations: tuple[Location, ...]
    kinds: tuple[int, ...]


class SourceDpor(DepthFirst):
    """Strategy; complete for programs that end.

    Attributes:
        requests: What is to be tried before the branch begins.
    """

    def __init__(self, branch: Branch = ALL, *, only_first: bool = False) -> None:
        """Make a strategy.

        Args:
            branch: Explore this part; all by default.
            only_first: Make the first schedule alone; then ask for its root().
        """
        super().__init__(branch.plan)
        self.requests: list[Request] = []
        self._branch = branch
        self._only_first = only_first
        self._frames: list[Frame] = []
        self._sleep = 0

    def begin(self, run: Execution) -> int:
        """Start a schedule."""
        self._sleep = 0
        return super().begin(run)

    def pick(self) -> int:
        """Follow the plan; then go on with the running task while that is possible."""
        run = self._run
        index = run.steps
        run.steps = index + 1
        if index < self.keep:
            run.trace.again(index)
            return self.plan[index]
        if index >= len(self._frames):
            return self._extend(run, index)
        frame = self._frames[index]
        return self._step(frame, self.plan[index], frame.sleep | frame.done)

    def _extend(self, run: Execution, index: int) -> int:
        enabled = run.enabled()
        awake = enabled & ~self._sleep
        if not awake or index >= run.max_steps:
            run.slept = bool(enabled) and not awake
            run.limited = bool(awake)
            return run.hub
        if index < len(self.plan):
            task = self.plan[index]
        elif awake >> run.current & 1:
            task = run.current
        else:
            task = (awake & -awake).bit_length() - 1
        sleep = self._branch.asleep if index == len(self._branch.plan) - 1 else self._sleep
        bit = 1 << task
        frame = Frame(enabled, bit, bit, sleep, tuple(run.locations), tuple(run.kinds))
        self._frames.append(frame)
        return self._step(frame, task, sleep)

    def _step(self, frame: Frame, task: int, sleep: int) -> int:
        """Make a step; of those that sleep there, let sleep on whose own step commutes with it."""
        run = self._run
        place = run.locations[task]
        settled = run.trace.record(task, place, run.kinds[task])
        sleep &= ~(1 << task)
        if sleep:
            for other, location in enumerate(frame.locations):
                if (
                    location is place
                    and sleep >> other & 1
                    and conflict(settled, frame.kinds[other])
                ):
                    sleep &= ~(1 << other)
        self._sleep = sleep
        return task

    def end(self) -> bool:
        """Look at the races of the schedule and turn to the next one."""
        new = max(self.keep, len(self._branch.plan) - 1)
        for step, found in self._run.trace.races.items():
            if step >= new:
                for earlier in found:
                    self._reverse(earlier, step)
        self._reverse_waiting()
        return not self._only_first and self._next()

    def root(self) -> Root:
        """Return the schedule that was made, as the root of branches."""
        return Root(tuple(self._run.trace.tasks), [frame.backtrack for frame in self._frames])

    def _next(self) -> bool:
        frames = self._frames
        while len(frames) > len(self._branch.plan):
            frame = frames[-1]
            left = frame.backtrack & ~frame.done & ~frame.sleep
            if left:
                task = (left & -left).bit_length() - 1
                frame.done |= 1 << task
                self.depart(len(frames) - 1, task)
                return True
            frames.pop()
        return False

    def _reverse_waiting(self) -> None:
        """Tasks that wait at the end would have made a step, too: look at its races."""
        trace = self._run.trace
        step = len(trace.tasks)
        for task, location, kind in self._run.asleep:
            trace.record(task, location, kind)
            for earlier in trace.races.get(step, ()):
                self._reverse(earlier, step)
            trace.begin(self._run.hub, keep=step)

    def _reverse(self, earlier: int, step: int) -> None:
        """Let some schedule make the step of a race before the earlier one.

        v is what came after earlier without it having happened before, then the step; its
        initials are the tasks that can begin v.
        """
        trace = self._run.trace
        if any(
            trace.happened_before(earlier, other) for other in trace.races[step] if other > earlier
        ):
            return  # no race: the order of the two is decided by others
        frame = self._frames[earlier]
        firsts = self._firsts(earlier, step)
        initials = 0
        for task, first in firsts.items():
            if not any(
                other != first and trace.happened_before(other, first) for other in firsts.values()
            ):
                initials |= 1 << task
        if initials & (frame.backtrack | frame.sleep):
            return
        chosen = initials & frame.enabled
        racer = 1 << trace.tasks[step]
        wanted = (chosen & racer or chosen & -chosen) if chosen else frame.enabled
        if earlier < len(self._branch.plan):
            self.requests.append(Request(earlier, initials, wanted))
        else:
            frame.backtrack |= wanted

    def _firsts(self, earlier: int, step: int) -> dict[int, int]:
        """Return each task's first step of v."""
        trace = self._run.trace
        seen = {trace.tasks[earlier]}
        firsts: dict[int, int] = {}
        for index in range(earlier + 1, step):
            task = trace.tasks[index]
            if task not in seen:
                seen.add(task)
                if not trace.happened_before(earlier, index):
                    firsts[task] = index
        firsts.setdefault(trace.tasks[step], step)
        return firsts
