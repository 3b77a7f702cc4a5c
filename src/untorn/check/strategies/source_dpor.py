"""One schedule of each class that can differ in its outcome: source-DPOR with sleep sets.

After each schedule it examines the races: pairs of conflicting steps that could be made in the
other order. Where the first step was chosen, a task that begins such an order is added to those to
be tried, unless one is already there (a source set). A task that was tried at some place sleeps in
the schedules tried there later, until a step conflicts with the one that it would make.

Abdulla, Aronis, Jonsson, Sagonas: Optimal Dynamic Partial Order Reduction, POPL 2014. It departs
from the paper in steps that wait (a pair whose second step cannot be made first is no race), and in
steps that commute by declaration (location.py). Checked against plain depth-first search on random
programs.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from untorn.check.runtime.execution import Execution, members
from untorn.check.runtime.location import conflict
from untorn.check.strategies.branch import ALL, Branch, Request, Root
from untorn.check.strategies.depth_first import DepthFirst


@dataclass(slots=True)
class Frame:
    """One place of the current schedule: before the step with the same index.

    Attributes:
        enabled, backtrack, done, sleep: Masks of tasks: those that could run here; those to be
            tried; those that were tried, including the current one; those that were done elsewhere.
        left: Under weak memory a mask of transitions that are to be tried: see ChoosingDpor.
    """

    enabled: int
    backtrack: int
    done: int
    sleep: int
    left: int = 0


class SourceDpor(DepthFirst):
    """Strategy; complete for programs that end.

    Attributes:
        requests: Tasks to be tried before the branch begins.
    """

    def __init__(self, branch: Branch = ALL, budget: float = math.inf) -> None:
        """Make a strategy.

        Args:
            branch: Explore this part; all by default.
            budget: See DepthFirst; what is left are then the branches of root().
        """
        super().__init__(branch.plan, budget)
        self.requests: list[Request] = []
        self._branch = branch
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
        # 1. Steps that the schedule before made as well: trace and frames still have them. The
        # sleep sets there do not matter: the place where this schedule departs has a new one.
        if index < self.keep:
            task = self.plan[index]
            trace = run.trace
            trace.now[task] = trace.clocks[index]
            return task
        # 3. New ground, without a frame yet.
        if index >= len(self._frames):
            return self._extend(run, index)
        # 2. The place of departure. Tasks that were tried here sleep from now on: what begins with
        #    their step was explored, and is new only after a step that conflicts with it.
        frame = self._frames[index]
        return self._step(self.plan[index], frame.sleep | frame.done)

    def _extend(self, run: Execution, index: int) -> int:
        enabled = run.enabled() if run.may_wait else run.alive
        awake = enabled & ~self._sleep
        # If all that can run sleep, every continuation is an order of one that was explored.
        if not awake or index >= run.max_steps:
            run.slept = bool(enabled) and not awake
            run.limited = bool(awake)
            return run.hub
        if index < len(self.plan):
            task = self.plan[index]  # of a branch, whose start another process has explored
        elif awake >> run.current & 1:
            task = run.current  # fewest switches: such schedules are the easiest to read
        else:
            task = (awake & -awake).bit_length() - 1
        # At the end of a branch's start those sleep that others try there. On the way to it nobody
        # does: in the root's schedule, which begins so, nothing was tried yet.
        sleep = self._branch.asleep if index == len(self._branch.plan) - 1 else self._sleep
        bit = 1 << task
        self._frames.append(Frame(enabled, bit, bit, sleep))
        return self._step(task, sleep)

    def _step(self, task: int, sleep: int) -> int:
        """Make a step; sleeping tasks stay asleep if their own step commutes with it."""
        # Others are compared with the kind that the step turned out to be: a reader that was
        # counted in does not wake another one that would be.
        run = self._run
        place = run.locations[task]
        settled = run.trace.record(task, place, run.kinds[task])
        sleep &= ~(1 << task)
        for other in members(sleep) if sleep else ():
            if run.locations[other] is place and conflict(settled, run.kinds[other]):
                sleep &= ~(1 << other)
        self._sleep = sleep
        return task

    def end(self) -> bool:
        """Examine the races of the schedule and turn to the next one."""
        # Races between steps that were kept have been looked at. Those of a branch's start, but for
        # its last step, are the root's.
        new = max(self.keep, len(self._branch.plan) - 1)
        for step, found in self._run.trace.races.items():
            if step >= new:
                for earlier in found:
                    self._reverse(earlier, step)
        self._reverse_waiting()
        return self._afford() and self._next()

    def root(self) -> Root:
        """Return the last schedule that was made, as the root of branches."""
        frames = self._frames
        return Root(
            tuple(self._run.trace.tasks),
            [frame.backtrack for frame in frames],
            [frame.done for frame in frames],
            [frame.sleep for frame in frames],
            len(self._branch.plan),
            left=[frame.left for frame in frames],
        )

    def _next(self) -> bool:
        # From the end, so that what is put down at a place is tried while what led there is kept. A
        # frame goes when nothing is left to be tried at it; the start of a branch never does.
        frames = self._frames
        while len(frames) > len(self._branch.plan):
            frame = frames[-1]
            # Tasks that slept when the place was reached need not be tried: that was done further
            # up.
            left = frame.backtrack & ~frame.done & ~frame.sleep
            if left:
                task = (left & -left).bit_length() - 1
                frame.done |= 1 << task
                self.depart(self._run.trace.tasks, len(frames) - 1, task)
                return True
            frames.pop()
        return False

    def _reverse_waiting(self) -> None:
        """Tasks that wait at the end would have made a step, too: look at its races."""
        # In another order they might not have waited. Each is recorded as if it were made next, and
        # then undone; with keep the trace stays as it was.
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
        # The trace has all earlier steps that conflict and that the task did not know of. If
        # another of them comes in between and knows of this one, the order is decided there.
        if any(
            trace.happened_before(earlier, other) for other in trace.races[step] if other > earlier
        ):
            return
        # A task's first step in v can begin v if no other first happened before it. To look at the
        # firsts is enough: if any step of v happened before it, the first of that task did.
        frame = self._frames[earlier]
        firsts = self._firsts(earlier, step)
        initials = 0
        for task, first in firsts.items():
            if not any(
                other != first and trace.happened_before(other, first) for other in firsts.values()
            ):
                initials |= 1 << task
        # The source set's condition: if one of the initials is tried there, or sleeps as it was
        # tried further up, some schedule has the race the other way round.
        if self._is_covered(frame, initials, firsts):
            return
        # Any initial that can run there will do; the racing task is preferred. If none can run, it
        # is unknown what would enable it: all are tried.
        chosen = initials & frame.enabled
        racer = 1 << trace.tasks[step]
        wanted = (chosen & racer or chosen & -chosen) if chosen else frame.enabled
        # A branch does not decide on its start. The owner of the root does, by the same condition.
        if earlier < len(self._branch.plan):
            self.requests.append(Request(earlier, initials, wanted))
        else:
            frame.backtrack |= wanted

    def _is_covered(self, frame: Frame, initials: int, firsts: Mapping[int, int]) -> bool:
        """Say whether one of some initials is tried at a place, or sleeps there."""
        return bool(initials & (frame.backtrack | frame.sleep))

    def _firsts(self, earlier: int, step: int) -> dict[int, int]:
        """Return each task's first step of v."""
        trace = self._run.trace
        seen = {trace.tasks[earlier]}
        firsts: dict[int, int] = {}
        for index in range(earlier + 1, step):
            task = trace.tasks[index]
            # A later step of a task that knows of the earlier one knows of it too. So if a task's
            # first step here is not in v, none of its steps is.
            if task not in seen:
                seen.add(task)
                if not trace.happened_before(earlier, index):
                    firsts[task] = index
        # The racing step belongs to v although it conflicts: it is the one to come first.
        firsts.setdefault(trace.tasks[step], step)
        return firsts
