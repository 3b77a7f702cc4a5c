"""A machine driven by small programs: each is a list of a thread's actions."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from untorn.sim.fair import TICK_NS, WEIGHTS, slice_ns
from untorn.sim.machine import Machine, Thread

MS = 1_000_000
Action = tuple[str, int]
"""burn or sleep with a number of ns; wake with a thread; fifo with a priority."""
Program = Iterator[Action]
Ran = tuple[int, int, str | None]
"""When which CPU began to run which thread."""


class Driven:
    """A machine, what its threads do, and what it did."""

    def __init__(self, cpus: int = 1, *, switch: int = 0, latency: int = 0) -> None:
        self.machine = Machine(cpus, context_switch=switch, wake_latency=latency)
        self.machine.ran = self._ran
        self.history: list[Ran] = []
        self.threads: list[Thread] = []
        self._programs: dict[Thread, Program] = {}
        self.steps: list[tuple[int, str]] = []

    def add(
        self, name: str, program: Program, *, nice: int = 0, fifo: int = 0, cpus: range = range(1)
    ) -> Thread:
        thread = self.machine.thread(name, cpus=cpus, nice=nice, fifo=fifo)
        self.threads.append(thread)
        self._programs[thread] = program
        return thread

    def run(self, until: int) -> None:
        machine = self.machine
        while machine.now < until and (thread := machine.advance()):
            self._go_on(thread)

    def used(self) -> Counter[str]:
        """Return how long each thread had a CPU, in ns, up to the last event."""
        total: Counter[str] = Counter()
        for cpu in range(len(self.machine.cpus)):
            ran = [each for each in self.history if each[1] == cpu]
            ran.append((self.machine.now, cpu, None))
            for (begin, _, name), (end, _, _) in pairwise(ran):
                total[name or "idle"] += end - begin
        return total

    def _go_on(self, thread: Thread) -> None:
        machine = self.machine
        while True:
            self.steps.append((machine.now, thread.name))
            what, value = next(self._programs[thread], ("end", 0))
            if what == "wake":
                machine.wake(self.threads[value % len(self.threads)], by=thread)
            elif what == "fifo":
                machine.set_fifo(thread, value)
            elif what == "sleep":
                machine.alarm(thread, value)
                machine.sleep(thread)
                return
            elif what == "burn":
                if not machine.burn(thread, value):
                    return
            else:
                machine.sleep(thread)
                return

    def _ran(self, cpu: int, thread: Thread | None) -> None:
        self.history.append((self.machine.now, cpu, thread.name if thread else None))


def spinning(ns: int = MS) -> Program:
    return repeat(("burn", ns))


def busy(spin_ns: int, sleep_ns: int) -> Program:
    while True:
        yield "burn", spin_ns
        yield "sleep", sleep_ns


def test_a_thread_comes_to_its_steps_when_it_has_burnt_their_cost() -> None:
    driven = Driven(switch=5)
    driven.add("one", iter([("burn", 10), ("burn", 20), ("sleep", 100), ("burn", 1)]))

    driven.run(MS)

    assert driven.steps == [(5, "one"), (15, "one"), (35, "one"), (140, "one"), (141, "one")]


@pytest.mark.parametrize("nice", [(0, 5), (0, 15), (-20, 0), (10, 19), (3, 3)])
def test_cpu_time_is_shared_as_the_weights_say(nice: tuple[int, int]) -> None:
    driven = Driven()
    for number, each in enumerate(nice):
        driven.add(f"{number}", spinning(), nice=each)
    first, second = (WEIGHTS[each + 20] for each in nice)

    driven.run(20_000 * MS)

    used = driven.used()
    assert used["0"] / used["1"] == pytest.approx(first / second, rel=0.02)


def test_equal_threads_take_turns_of_a_slice_seen_at_a_tick() -> None:
    driven = Driven()
    driven.add("one", spinning(50 * MS))
    driven.add("two", spinning(50 * MS))

    driven.run(100 * MS)

    turns = [end - begin for (begin, *_), (end, *_) in pairwise(driven.history)]
    assert set(turns[1:]) == {TICK_NS}
    assert slice_ns(1) < TICK_NS


def test_a_fair_thread_that_wakes_takes_the_cpu_from_one_that_is_ahead() -> None:
    driven = Driven()
    driven.add("scanner", spinning(100 * MS), nice=15)
    driven.add("busy", busy(2 * MS, MS))

    driven.run(300 * MS)

    assert driven.used()["busy"] == pytest.approx(200 * MS, rel=0.03)  # as if it were alone


def test_a_real_time_thread_runs_before_fair_ones_and_before_those_of_lower_priority() -> None:
    driven = Driven()
    driven.add("fair", spinning(), nice=-20)
    driven.add("low", busy(3 * MS, 2 * MS), fifo=1)
    driven.add("high", busy(MS, 9 * MS), fifo=2)

    driven.run(1000 * MS)

    for (begin, _, name), (end, _, _) in pairwise(driven.history):
        assert name != "fair" or end - begin <= 2 * MS
    assert driven.used()["high"] == 100 * MS


def test_a_thread_that_becomes_real_time_keeps_the_cpu_until_it_is_fair_again() -> None:
    driven = Driven()
    steps = [("burn", MS), ("fifo", 1), ("burn", 30 * MS), ("fifo", 0), ("burn", 30 * MS)]
    driven.add("holder", iter(steps), nice=15)
    driven.add("busy", busy(2 * MS, MS))

    driven.run(500 * MS)

    turns = [
        end - begin
        for (begin, _, name), (end, _, _) in pairwise(driven.history)
        if name == "holder"
    ]
    assert max(turns) == pytest.approx(30 * MS, abs=TICK_NS)
    assert sorted(turns)[-2] < 3 * TICK_NS


def test_a_waker_on_another_cpu_is_noticed_after_the_latency() -> None:
    driven = Driven(2, switch=3, latency=7)
    driven.add("sleeper", iter([("sleep", MS), ("burn", 1)]), cpus=range(1))
    driven.add("waker", iter([("burn", 100), ("wake", 0)]), cpus=range(1, 2))

    driven.run(MS // 2)

    assert driven.steps[-1] == (103 + 7 + 3 + 1, "sleeper")


def test_an_idle_cpu_takes_over_who_waits_elsewhere() -> None:
    driven = Driven(2)
    for number in range(3):
        driven.add(f"{number}", iter([("burn", 30 * MS)]), cpus=range(2))

    driven.run(MS * 1000)

    assert driven.machine.now == pytest.approx(45 * MS, abs=TICK_NS)  # and not 60


@st.composite
def machines(draw: st.DrawFn) -> Callable[[], Driven]:
    cpus = draw(st.integers(1, 3))
    actions = st.one_of(
        st.tuples(st.just("burn"), st.integers(0, 5 * MS)),
        st.tuples(st.just("sleep"), st.integers(0, 5 * MS)),
        st.tuples(st.just("wake"), st.integers(0, 4)),
        st.tuples(st.just("fifo"), st.integers(0, 2)),
    )
    programs = st.tuples(
        st.lists(actions, max_size=20),
        st.integers(-20, 19),
        st.sampled_from((0, 0, 0, 1, 2)),
        st.integers(0, cpus - 1).flatmap(
            lambda low: st.integers(low + 1, cpus).map(lambda high: range(low, high))
        ),
    )
    drawn = draw(st.lists(programs, min_size=1, max_size=6))
    costs = draw(st.tuples(st.integers(0, 2000), st.integers(0, 2000)))

    def make() -> Driven:
        driven = Driven(cpus, switch=costs[0], latency=costs[1])
        for number, (program, nice, fifo, where) in enumerate(drawn):
            driven.add(f"{number}", iter(program), nice=nice, fifo=fifo, cpus=where)
        return driven

    return make


@given(machines())
def test_whatever_threads_do_the_rules_of_the_machine_hold(make: Callable[[], Driven]) -> None:
    driven = make()
    machine = driven.machine
    seen: list[tuple[int, list[str]]] = []

    def look(cpu: int, thread: Thread | None) -> None:
        driven.history.append((machine.now, cpu, thread.name if thread else None))
        running = [each.current for each in machine.cpus if each.current]
        seen.append((machine.now, [each.name for each in running]))
        for each in machine.cpus:
            assert each.current is None or each.number in each.current.cpus
            assert each.current is None or not each.current.asleep
        if thread is not None and not thread.fifo:
            assert not machine.cpus[cpu].fifo  # no thread runs that ranks below a waiting one

    machine.ran = look
    driven.run(1 << 60)

    assert [time for time, _ in driven.steps] == sorted(time for time, _ in driven.steps)
    assert all(len(set(names)) == len(names) for _, names in seen)
    assert all(each.asleep for each in driven.threads)  # all have ended
    again = make()
    again.run(1 << 60)
    assert (again.steps, again.history) == (driven.steps, driven.history)


@given(machines())
def test_no_thread_waits_for_longer_than_a_tick_while_a_cpu_is_idle_where_it_may_run(
    make: Callable[[], Driven],
) -> None:
    driven = make()
    machine = driven.machine
    since: dict[Thread, int] = {}
    while thread := machine.advance():
        running = [each.current for each in machine.cpus]
        for each in driven.threads:
            idle = any(machine.cpus[cpu].current is None for cpu in each.cpus)
            if idle and not each.asleep and each not in running:
                assert machine.now - since.setdefault(each, machine.now) <= TICK_NS
            else:
                since.pop(each, None)
        driven._go_on(thread)
