"""Random small programs on the checker's primitives: every strategy must agree about them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from random import Random

from untorn.check.runtime import running
from untorn.check.runtime.counter import AtomicInt
from untorn.check.runtime.execution import DeadlockError, Execution, Strategy
from untorn.check.runtime.primitives import Mutex
from untorn.check.strategies.depth_first import EVERYTHING, Dfs, Rest

Outcome = tuple[object, ...]
KINDS = ("load", "store", "add", "in", "out", "reset", "lock", "wake", "wait")
LIMIT = 1 << 20
Operations = list[list[tuple[str, int]]]
"""For each task its operations, and the cell, counter or mutex of each."""


def random_program(random: Random) -> Operations:
    """Return the operations of each task, each with its object."""
    tasks = random.choice((2, 2, 3))
    longest = 5 if tasks == 2 else 3
    return [
        [(random.choice(KINDS), random.randrange(2)) for _ in range(random.randint(1, longest))]
        for _ in range(tasks)
    ]


class Every(Dfs):
    """The plain search; each of its schedules is run."""

    def __init__(self, preemptions: int, rest: Rest = EVERYTHING, budget: float = inf) -> None:
        super().__init__(preemptions, rest, budget)
        self._alike = None


@dataclass
class SmallProgram:
    """Two cells, two counters and two mutexes, and tasks that use them."""

    operations: Operations
    cells: list[AtomicInt] = field(default_factory=lambda: [AtomicInt(1), AtomicInt(1)])
    counters: list[AtomicInt] = field(default_factory=lambda: [AtomicInt(1), AtomicInt(1)])
    mutexes: list[Mutex] = field(default_factory=lambda: [Mutex(), Mutex()])

    def explore(self, strategy: Strategy, most: int = 1 << 60) -> tuple[set[Outcome], int] | None:
        """Return all outcomes and the number of schedules; None if there are more than `most`."""
        self.begin(strategy)
        outcomes, schedules = set(), 0
        while True:
            outcome = self.play()
            schedules += 1
            if not self.run.slept:
                outcomes.add(outcome)
            if schedules > most:
                return None
            more = strategy.end()
            schedules += len(self.run.alike)
            if not more:
                return outcomes, schedules

    def begin(self, strategy: Strategy) -> None:
        """Prepare for schedules of a strategy."""
        running.forget_locations()
        self.run = Execution([str(i) for i in range(len(self.operations))], strategy, 1000)

    def play(self) -> Outcome:
        """Run one schedule."""
        for counter in (*self.cells, *self.counters):
            counter.value = 1
            counter.counted.clear()
        for mutex in self.mutexes:
            mutex.location.blocked = False
        self.logs: list[list[object]] = [[] for _ in self.operations]
        self.run.run([self.job(task) for task in range(len(self.operations))])
        failure = self.run.failure
        if failure is not None and not isinstance(failure, DeadlockError):
            raise failure
        waiting = tuple(task for task, _, _ in self.run.asleep)
        values = tuple(counter.value for counter in (*self.cells, *self.counters))
        return (tuple(map(tuple, self.logs)), waiting, None if waiting else values)

    def job(self, task: int) -> Callable[[], None]:
        def work() -> None:
            held: list[int] = []
            counted: list[int] = []
            for kind, place in self.operations[task]:
                self.step(task, kind, place, held, counted)
            for place in counted:
                self.logs[task].append(self.counters[place].add(-1) == 0)
            for place in held:
                self.mutexes[place].release()

        return work

    def step(self, task: int, kind: str, place: int, held: list[int], counted: list[int]) -> None:
        log, cell, counter = self.logs[task], self.cells[place], self.counters[place]
        match kind:
            case "load":
                log.append(cell.load())
            case "store":
                cell.store(10 * task + len(log) + 2)
            case "add":
                log.append(cell.add(task + 1))
            case "in":
                found = counter.inc_not_zero_limited(LIMIT)
                log.append(found > 0)
                counted += [place] * (0 < found < LIMIT)
            case "out":
                place = counted.pop() if counted else place
                log.append(self.counters[place].add(-1) == 0)
            case "reset":
                counter.store((0, 1, LIMIT)[task])
            case "lock" if place in held:
                self.mutexes[place].release()
                held.remove(place)
            case "lock":
                self.mutexes[place].acquire()
                held.append(place)
            case "wake":
                self.run.tasks[place % len(self.run.tasks)].wake_up()
            case "wait":
                self.run.tasks[task].wait_until(lambda: cell.load() > 1)
                log.append("woken")
