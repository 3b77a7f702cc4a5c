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

from untorn.check.execution import Execution
from untorn.check.location import Location, conflict


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


class SourceDpor:
    """Strategy; complete for programs that end."""

    tracks = True

    def __init__(self) -> None:
        self._plan: list[int] = []
        self._frames: list[Frame] = []
        self._keep = 0
        self._sleep = 0
        self._run: Execution

    def begin(self, run: Execution) -> int:
        """Start a schedule: all but the last step of the plan are as they were."""
        self._run = run
        self._keep = max(len(self._plan) - 1, 0)
        run.trace.begin(run.hub, self._keep)
        run.schedule = run.trace.tasks
        self._sleep = 0
        return self._keep

    def pick(self) -> int:
        """Follow the plan; then go on with the running task while that is possible."""
        run = self._run
        index = run.steps
        run.steps = index + 1
        if index < self._keep:
            run.trace.again(index)
            return self._plan[index]
        if index >= len(self._plan):
            return self._extend(run, index)
        task = self._plan[index]
        frame = self._frames[index]
        settled = run.trace.record(task, run.locations[task], run.kinds[task])
        sleep = (frame.sleep | frame.done) & ~(1 << task)
        self._sleep = self._still_asleep(frame, sleep, run.locations[task], settled)
        return task

    def _extend(self, run: Execution, index: int) -> int:
        enabled = run.enabled()
        awake = enabled & ~self._sleep
        if not awake or index >= run.max_steps:
            run.slept = bool(enabled) and not awake
            run.limited = bool(awake)
            return run.hub
        task = run.current
        if not awake >> task & 1:
            task = (awake & -awake).bit_length() - 1
        bit = 1 << task
        frame = Frame(enabled, bit, bit, self._sleep, tuple(run.locations), tuple(run.kinds))
        self._frames.append(frame)
        settled = run.trace.record(task, run.locations[task], run.kinds[task])
        if self._sleep:
            self._sleep = self._still_asleep(frame, self._sleep, run.locations[task], settled)
        return task

    @staticmethod
    def _still_asleep(frame: Frame, sleep: int, location: Location, kind: int) -> int:
        """Return who of sleep sleeps on after a step: those whose own commutes with it."""
        for task, other in enumerate(frame.locations):
            if other is location and sleep >> task & 1 and conflict(kind, frame.kinds[task]):
                sleep &= ~(1 << task)
        return sleep

    def end(self) -> bool:
        """Look at the races of the schedule and turn to the next one."""
        for step, found in self._run.trace.races.items():
            if step >= self._keep:
                for earlier in found:
                    self._reverse(earlier, step)
        self._reverse_waiting()
        return self._next()

    def _next(self) -> bool:
        frames = self._frames
        while frames:
            frame = frames[-1]
            left = frame.backtrack & ~frame.done & ~frame.sleep
            if left:
                task = (left & -left).bit_length() - 1
                frame.done |= 1 << task
                self._plan = [*self._run.trace.tasks[: len(frames) - 1], task]
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
        if not chosen:
            frame.backtrack |= frame.enabled
        elif chosen & racer:
            frame.backtrack |= racer
        else:
            frame.backtrack |= chosen & -chosen

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
