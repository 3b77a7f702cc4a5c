"""Small programs of loads, stores, exchanges and barriers under weak memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any
from unittest.mock import patch

from tests.helpers.small_programs import Operations, SmallProgram
from untorn.check.memory import places, sites
from untorn.check.memory.orders import ACQUIRE, DEREFERENCE, ONCE, RELEASE, Fence, Order
from untorn.check.memory.places import announce, make_fence
from untorn.check.memory.table import Site
from untorn.check.memory.weak_trace import StrictTrace, WeakTrace
from untorn.check.runtime import running
from untorn.check.runtime.execution import Execution, Strategy
from untorn.check.runtime.location import READ, WRITE, SharedLocation
from untorn.check.runtime.message import Message
from untorn.check.runtime.primitives import Mutex
from untorn.check.runtime.trace import Trace
from untorn.check.strategies.depth_first import DepthFirst

Operation = tuple[Any, ...]
"""load place order; store place order value; xchg place order value; inc place order (unless 0 or
2); fence kind."""
Program = list[list[Operation]]
Outcome = tuple[tuple[int, ...], ...]
ORDERS: dict[str, Order] = {
    "relaxed": ONCE,
    "acquire": ACQUIRE,
    "release": RELEASE,
    "dereference": DEREFERENCE,
    "found": ONCE.found(),
}
FENCES = {"rmb": Fence.RMB, "wmb": Fence.WMB, "mb": Fence.MB}


def random_program(random: Random) -> Program:
    """Return a program of two to four tasks."""
    tasks = random.choice((2, 2, 3, 3, 4))
    longest = {2: 5, 3: 3, 4: 2}[tasks]
    return [
        [_random_operation(random) for _ in range(random.randint(1, longest))] for _ in range(tasks)
    ]


def _random_operation(random: Random) -> Operation:
    place, value = random.choice("xy"), random.randint(0, 2)
    match random.choice(("load", "load", "store", "store", "xchg", "inc", "inc", "fence")):
        case "load":
            return "load", place, random.choice(("relaxed", "acquire"))
        case "store":
            return "store", place, random.choice(("relaxed", "release")), value
        case "xchg":
            return "xchg", place, random.choice(("relaxed", "acquire", "release")), value
        case "inc":
            return "inc", place, random.choice(("relaxed", "acquire", "release"))
    return "fence", random.choice(("rmb", "wmb", "mb"))


class Plain(DepthFirst):
    """Every schedule, with every message that each load may see."""

    def __init__(self) -> None:
        super().__init__()
        self._codes: list[int] = []
        self._left: list[list[int]] = []

    def begin(self, run: Execution) -> int:
        kept = super().begin(run)
        del self._codes[kept:]
        run.schedule = self._codes
        return kept

    def pick(self) -> int:
        run = self._run
        trace = run.trace
        assert isinstance(trace, WeakTrace)
        index = run.steps
        run.steps += 1
        if index < self.keep:
            task = self.plan[index] % run.hub
            trace.again(task, index)
            return task
        if index < len(self.plan):
            code = self.plan[index]
        else:
            codes = [
                choice * run.hub + task
                for task in range(run.hub)
                if run.enabled() >> task & 1
                for choice in trace.options(task, run.locations[task], run.kinds[task]) or [0]
            ]
            if not codes:
                return run.hub
            code, *others = codes
            self._left.append(others)
        trace.choice, task = divmod(code, run.hub)
        trace.record(task, run.locations[task], run.kinds[task])
        self._codes.append(code)
        return task

    def end(self) -> bool:
        while self._left and not self._left[-1]:
            self._left.pop()
        if not self._left:
            return False
        self.depart(self._codes, len(self._left) - 1, self._left[-1].pop())
        return True


@dataclass
class WeakProgram:
    """A program, and what it works on; all places begin at 0."""

    program: Program
    strict: bool = False
    places: dict[str, SharedLocation] = field(default_factory=dict)
    values: dict[SharedLocation, int] = field(default_factory=dict)

    def explore(self, strategy: Strategy, most: int = 1 << 60) -> tuple[set[Outcome], int] | None:
        """Return all outcomes and the number of schedules, None if there are more than `most`."""
        names = sorted({each[1] for task in self.program for each in task if each[0] != "fence"})
        self.places = {name: SharedLocation(name) for name in names}
        running.new_trace = StrictTrace if self.strict else WeakTrace
        try:
            run = Execution([str(i) for i in range(len(self.program))], strategy, 1000)
        finally:
            running.new_trace = Trace
        outcomes: set[Outcome] = set()
        schedules = 0
        while True:
            logs: list[list[int]] = [[] for _ in self.program]
            for place in self.places.values():
                place.messages = place.messages or (Message(0),)
            self.values = dict.fromkeys(self.places.values(), 0)
            run.run([self._job(run, i, logs[i]) for i in range(len(self.program))])
            if run.failure is not None:
                raise run.failure
            schedules += not run.slept
            if not run.slept:
                outcomes.add(tuple(map(tuple, logs)))
            if schedules > most:
                return None
            if not strategy.end():
                return outcomes, schedules

    def _job(self, run: Execution, task: int, log: list[int]) -> Callable[[], None]:
        def work() -> None:
            trace = run.trace
            assert isinstance(trace, WeakTrace)
            for operation in self.program[task]:
                self._do(trace, operation, log)

        return work

    def _do(self, trace: WeakTrace, operation: Operation, log: list[int]) -> None:
        if operation[0] == "fence":
            make_fence(trace, FENCES[operation[1]])
            return
        place, order = self.places[operation[1]], ORDERS[operation[2]]
        match operation[0]:
            case "load":
                announce(trace, order)
                running.point(place, READ)
                assert trace.taken is not None
                log.append(trace.taken.value)
            case "store":
                announce(trace, order)
                running.point(place, WRITE)
                assert trace.taken is not None
                self.values[place] = trace.taken.value = operation[3]
            case "xchg":
                announce(trace, order, rmw=True)
                running.point(place, WRITE)
                assert trace.taken is not None
                log.append(self.values[place])
                self.values[place] = trace.taken.value = operation[3]
            case "inc":
                announce(trace, order, rmw=True, refuses=lambda value: value in (0, 2))
                running.point(place, WRITE)
                assert trace.taken is not None
                log.append(trace.taken.value if trace.refused else self.values[place])
                if not trace.refused:
                    self.values[place] = trace.taken.value = self.values[place] + 1


ANYWHERE = {
    Site("", "load"): ONCE,
    Site("", "store"): RELEASE,
    Site("", "add"): RELEASE,
    Site("", "inc_not_zero_limited"): ACQUIRE,
}
"""Orders of counters, wherever they are used."""


@contextmanager
def weakly(operations: Operations) -> Iterator[SmallProgram]:
    """Give a program of cells, counters and mutexes that runs under weak memory."""
    running.new_trace = WeakTrace
    try:
        with patch.dict(sites._orders, ANYWHERE):
            cells, counters = ([places.AtomicInt(1) for _ in range(2)] for _ in range(2))
            mutexes: list[Mutex] = [places.Mutex() for _ in range(2)]
            yield SmallProgram(operations, [*cells], [*counters], mutexes)
    finally:
        running.new_trace = Trace
