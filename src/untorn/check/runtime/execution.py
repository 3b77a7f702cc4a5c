"""One schedule of a program: its tasks on greenlets, one running at a time, switched at points.

A task that comes to a point announces the step it wants to make, and the strategy chooses whose
announced step is made next; that task runs on to its next point. Greenlets are kept from schedule
to schedule, because making one costs as much as a whole short run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Protocol

from greenlet import getcurrent, greenlet

from untorn.check.runtime import running
from untorn.check.runtime.location import ACQUIRE, NEVER, SharedLocation
from untorn.check.runtime.primitives import Task

Job = Callable[[], object]
"""What a task does."""
NOBODY = SharedLocation("nobody")


@cache
def members(mask: int) -> tuple[int, ...]:
    """Return the tasks of a mask, in order; cached, because every step needs such lists."""
    return tuple(task for task in range(mask.bit_length()) if mask >> task & 1)


class Strategy(Protocol):
    """Which task runs next, and which schedule comes after this one."""

    tracks: bool
    """Whether it needs to know what happened before what; races are found only then."""

    def begin(self, run: Execution) -> int:
        """Start a schedule; return how many steps at its start are those of the one before."""

    def pick(self) -> int:
        """Return the task whose step is made next; run.hub to end the schedule here."""

    def end(self) -> bool:
        """Process the schedule that ended; return whether there is another one."""


class Abandoned(BaseException):
    """The schedule goes no further; unwinds a task."""


def _ignore(kept: int) -> None:
    """Do nothing."""


class DeadlockError(Exception):
    """Some tasks wait, and none can continue; the message says which waits for what."""


def _origin(error: BaseException) -> BaseException:
    """Return the error that came first, if cleaning up after it failed too."""
    # An OSError is an answer of the engine, which it may well handle by raising another one.
    while error.__context__ is not None and not isinstance(error.__context__, OSError):
        error = error.__context__
    return error


class Execution:
    """A program under one strategy.

    Attributes:
        current: The running task.
        hub: Number of the explorer, which is no task.
        tasks: The tasks.
        locations, kinds: The step that each task announced.
        schedule: The tasks whose steps were made, at the end; kept by the strategy.
        steps: How many were chosen so far; the last one is being made.
        trace: What happened before what, if the strategy wants it.
        results: What each task returned.
        failure: The error, raised in a task or found from outside.
        asleep: The tasks that waited at the end, and the step that each would have made.
        limited: Whether it was given up because it grew too long.
        slept: Whether it was given up because another schedule has done the same.
        alike: Steps of each schedule that the strategy leaves out after it, as it is known to go
            as one that was played.
        over: Whether something failed, or the schedule ended: what tasks do to clean up is no step.
        made: How many locations each task has made in this run.
        alive: Mask of the tasks that have not ended.
        may_wait: Mask of those whose announced step may have to wait: if it is empty, alive equals
            enabled().
    """

    def __init__(self, names: Sequence[str], strategy: Strategy, max_steps: int) -> None:
        self.tasks = [Task(name) for name in names]
        self.hub = len(names)
        self.strategy = strategy
        self.tracks = strategy.tracks
        self.max_steps = max_steps
        self.trace = running.new_trace()
        self.asleep: list[tuple[int, SharedLocation, int]] = []
        self.current = self.hub
        self.locations = [NOBODY] * self.hub
        self.kinds = [NEVER] * self.hub
        self.schedule: list[int] = []
        self.steps = 0
        self.made = [0] * self.hub
        self.results: list[object] = [None] * self.hub
        self.failure: BaseException | None = None
        self.limited = self.slept = self.over = False
        self.alike: list[int] = []
        self._jobs: Sequence[Job] = ()
        self.alive = 0
        self.may_wait = 0
        # The function that decides at a point: the strategy's pick() while a schedule is played,
        # _to_hub() while tasks run to their first points, and _pass() once the schedule is given
        # up.
        self._pick: Callable[[], int] = self._to_hub
        self._hub = getcurrent()
        self._greenlets = [greenlet(self._main) for _ in names] + [self._hub]

    def run(self, jobs: Sequence[Job], kept: Callable[[int], None] = _ignore) -> None:
        """Run each job as a task to its end, or until no task can continue.

        Args:
            jobs: What the tasks do.
            kept: Called with the number of steps at the start that are those of the run before.
        """
        count = self.hub
        # The lists of locations and kinds stay: each task's entry is set at its first point.
        self._jobs = jobs
        self.steps = 0
        self.made = [0] * count
        self.alive = (1 << count) - 1
        self.may_wait = 0
        self.results = [None] * count
        self.failure = None
        self.limited = self.slept = self.over = False
        self.alike = []
        for task in self.tasks:
            task.killed = False
            task.held.clear()
            task.mmap_locks = 0
            task.permit.location.blocked = True  # no wake-up is left from the schedule before
        # The strategy says how much of the schedule is kept; the history keeps as much.
        kept(self.strategy.begin(self))
        running.begin(self)
        try:
            self._go()
            # Now every task has ended or is at a point. Unless the schedule was given up, those at
            # a point wait, and no task is left that could wake them.
            self.asleep = self.waiting()
            if self.asleep and self.failure is None and not self.slept and not self.limited:
                self.failure = DeadlockError(self._who_waits())
        finally:
            # Greenlets are reused, so each must return to _main(). This comes before end(): code
            # that cleans up asks which task it is.
            self._unwind()
            running.end()
            self.current = count

    def _go(self) -> None:
        """Bring every task to its first point, then let the strategy choose."""
        self._pick = self._to_hub
        # Before its first point a task touches nothing shared, so the order in which tasks get
        # there does not matter.
        for number in range(self.hub):
            self.current = number
            self._greenlets[number].switch(number)
        self._pick = self.strategy.pick
        self.current = self.hub if self.failure is not None else self._pick()
        if self.current != self.hub:
            self._greenlets[self.current].switch()

    def point(self, location: SharedLocation, kind: int) -> None:
        """Announce a step of the running task; return when it is to be made."""
        task = self.current
        self.locations[task] = location
        self.kinds[task] = kind
        # Most steps never wait. enabled() checks only those that may, at every step.
        if kind >= ACQUIRE:
            self.may_wait |= 1 << task
        elif self.may_wait:
            self.may_wait &= ~(1 << task)
        pick = self._pick  # not self._pick(): Python is slow to call an attribute that is no method
        chosen = pick()
        # The caller makes the step after the return: no other task runs before that.
        if chosen != task:
            self.current = chosen
            self._greenlets[chosen].switch()  # comes back when this task is chosen

    def enabled(self) -> int:
        """Return a mask of the tasks whose announced step can be made."""
        mask = self.alive
        if self.may_wait:
            for task in members(self.may_wait):
                if self.locations[task].blocked:
                    mask &= ~(1 << task)
        return mask

    def waiting(self) -> list[tuple[int, SharedLocation, int]]:
        """Return the tasks that wait, with the step that each would make."""
        # A task that has ended is at NEVER, which comes after all kinds that can wait.
        return [
            (task, location, kind)
            for task, (location, kind) in enumerate(zip(self.locations, self.kinds, strict=True))
            if ACQUIRE <= kind < NEVER and location.blocked
        ]

    def _who_waits(self) -> str:
        """Describe a state in which no task can continue."""
        told = []
        for task, location, _ in self.asleep:
            sleeper = self.tasks[task]
            # The release may have come before it slept: then its condition holds, and only the
            # wake-up is missing.
            what = f"{sleeper.name} waits for {location} (holds or asks for {sleeper.holds()})"
            if location is sleeper.permit.location and running.unseen(sleeper.waits_for):
                what = f"lost wake-up: {sleeper.name} sleeps although its condition holds"
            told.append(what)
        return "; ".join(told)

    def fail(self, error: BaseException) -> None:
        """End the schedule from inside the running task: something is wrong.

        What a task does to clean up after that, or when the schedule is given up, does not count.
        """
        if self.over:
            return
        self.failure = error
        self.over = True
        self._pick = self._pass  # this task cleans up as it unwinds, and must not be stopped
        raise Abandoned

    def _to_hub(self) -> int:
        return self.hub

    def _main(self, number: int) -> None:
        """Run one job after another as task `number`; each switch to it starts the next."""
        while True:
            try:
                self.results[number] = self._jobs[number]()
            except BaseException as error:
                # The first failure counts; Abandoned only comes after one, or when the end of the
                # schedule does not matter.
                if not self.over:
                    self.failure = _origin(error)
                    self.over = True
            # A task that has ended is at a step that is never made. If something failed, no other
            # task continues: its state may be broken.
            self.locations[number], self.kinds[number] = NOBODY, NEVER
            self.alive &= ~(1 << number)
            self.may_wait &= ~(1 << number)
            self.current = self.hub if self.over else self._pick()
            self._greenlets[self.current].switch()

    def _unwind(self) -> None:
        """End tasks in the middle of their work: their clean-up passes every point."""
        self.over = True
        self._pick = self._pass
        for number in range(self.hub):
            if self.kinds[number] != NEVER:
                self.current = number
                self._greenlets[number].throw(Abandoned)

    def _pass(self) -> int:
        # A task that cleans up cannot wait: the task that could release the lock does not run.
        task = self.current
        if self.kinds[task] >= ACQUIRE and self.locations[task].blocked:
            raise Abandoned
        return task
