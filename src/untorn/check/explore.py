"""Explore a scenario: run it schedule after schedule until the strategy has no more."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from untorn.check.memory.sites import UnlistedError
from untorn.check.mutants.order_mutant import AnyMutant
from untorn.check.oracle.ends import BrokenError
from untorn.check.oracle.oracle import Oracle, check_sleeper
from untorn.check.runtime import fields, running
from untorn.check.runtime.execution import Execution, Strategy
from untorn.check.runtime.primitives import Task
from untorn.check.runtime.world import World
from untorn.check.scenarios.scenario import Build
from untorn.check.stage.pages import Piece
from untorn.check.stage.stage import Stage
from untorn.locking.sync import Task as ThreadTask

MAX_STEPS = 2000
"""Steps of one schedule; a longer one is given up, and the exploration is inconclusive."""
COLLECT_EVERY = 5000
"""Schedules between two garbage collections; none runs in a schedule."""


@dataclass(slots=True)
class Exploration:
    """The result of a scenario under a strategy.

    Attributes:
        played: Schedules that were run.
        schedules: Schedules that were run to their end, or that are equivalent to one that was.
        blocked: Schedules given up because another one had done the same.
        limited: Schedules given up because they grew too long: nothing is known about those.
        steps: Steps of all schedules.
        seconds: CPU time.
        complete: Whether the strategy has no further schedule.
        failure: The first failure; None if nothing broke.
        schedule: The schedule that broke it; without one, the first that grew too long.
    """

    played: int = 0
    schedules: int = 0
    blocked: int = 0
    limited: int = 0
    steps: int = 0
    seconds: float = 0.0
    complete: bool = False
    failure: BaseException | None = None
    schedule: tuple[int, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether everything was explored, and nothing broke."""
        return self.complete and not self.limited and self.failure is None


class Theatre:
    """A scenario that is set up and ready to run under a strategy."""

    def __init__(
        self, build: Build, strategy: Strategy, shown: tuple[Piece, ...] | None = None
    ) -> None:
        """Set a stage; shown as in Oracle."""
        # In this order: the world is all that tasks can share, so it is noted when that is set up;
        # the history watches what the world found.
        running.forget_locations()
        self.stage = stage = Stage()
        build(stage)
        self._world = World(stage.roots())
        stage.begin_history()
        self._oracle = Oracle(stage, shown)
        self.strategy = strategy
        self.run = Execution(stage.names, strategy, MAX_STEPS)
        for number, task in enumerate(self.run.tasks):
            if any(reader.task != number for reader in stage.readers):
                task.sleeps = self._sleeps
            fields.WATCHED[ThreadTask, "killed"].set_up(task, task.name)

    def play(self) -> None:
        """Run one schedule; run.failure says what broke, if something did.

        Raises:
            KeyboardInterrupt: It came meanwhile, and the schedule is unwound.
            UnlistedError: A mutant makes an access that the table of orders does not have.
        """
        # Every schedule begins in the same state, on the same objects. So a strategy can compare
        # locations, and a history can keep what kept steps have published.
        self._world.restore()
        for reader in self.stage.every_reader:
            reader.begin()
        self.run.run(self.stage.jobs, self.stage.history.begin)
        if isinstance(self.run.failure, KeyboardInterrupt | UnlistedError):
            raise self.run.failure
        if self.run.failure is None and self.finished:
            try:
                if held := self._world.held():
                    raise BrokenError(f"{held} is left locked")
                self._oracle.check(self.run)
            except BrokenError as error:
                self.run.failure = error

    @staticmethod
    def mutated(mutant: AnyMutant | None) -> AbstractContextManager[None]:
        """Apply a mutant, if there is one, but only while playing: the set-up must succeed."""
        return mutant.applied() if mutant else nullcontext()

    @property
    def finished(self) -> bool:
        """Whether the schedule ran to its end, which may be that all tasks wait."""
        return not self.run.limited and not self.run.slept

    def _sleeps(self, task: Task) -> None:
        try:
            check_sleeper(self.run, self.stage, task)
        except BrokenError as error:
            self.run.fail(error)


def explore(
    build: Build,
    strategy: Strategy,
    *,
    mutant: AnyMutant | None = None,
    shown: tuple[Piece, ...] | None = None,
    stop: Callable[[Exploration], bool] | None = None,
) -> Exploration:
    """Run a scenario until the strategy has no more schedules, something breaks, or stop() is true.

    A mutant is applied after the set-up; shown is as in Oracle.

    Preconditions: inside of watching().

    Raises:
        KeyboardInterrupt: As soon as the current schedule is unwound.
    """
    theatre = Theatre(build, strategy, shown)
    run = theatre.run
    found = Exploration()
    begun = time.process_time()
    races_wanted = nullcontext() if strategy.tracks else fields.unguarded()
    with _uncollected(), theatre.mutated(mutant), races_wanted:
        more = True
        while more and found.failure is None and not (stop and stop(found)):
            theatre.play()
            found.played += 1
            found.steps += run.steps
            found.schedules += not run.slept and not run.limited
            found.blocked += run.slept
            found.limited += run.limited
            if run.failure is not None or (run.limited and not found.schedule):
                found.failure, found.schedule = run.failure, tuple(run.schedule)
            # After a failure the strategy stays as it is: it has the failing schedule.
            if run.failure is None:
                more = strategy.end()
                found.schedules += len(run.alike)
                found.steps += sum(run.alike)
            if found.played % COLLECT_EVERY == 0:
                gc.collect()
    found.complete = not more
    found.seconds = time.process_time() - begun
    return found


@contextmanager
def _uncollected() -> Iterator[None]:
    """Disable the garbage collector: it would run at moments that no schedule decides."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
