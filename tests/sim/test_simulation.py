"""Jobs in virtual time: what they share, how they wait, and what they are charged."""

from collections.abc import Iterator
from functools import partial

import pytest

from untorn.locking import sync
from untorn.mm.mman import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE
from untorn.sim.costs import CostTable
from untorn.sim.fair import TICK_NS
from untorn.sim.simulation import TIMER_SLACK_NS, Simulation, StuckError, simulating
from untorn.syscalls import Process

COSTS = CostTable.load().costs
PAGE = 4096


@pytest.fixture
def simulation() -> Iterator[Simulation]:
    with simulating(2, COSTS, "full") as made:
        yield made


def test_what_is_set_up_takes_no_time(simulation: Simulation) -> None:
    process = Process()
    process.mmap(0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS)
    with process.open("maps") as file:
        file.read(PAGE)
    assert simulation.now == 0


def test_a_job_that_sleeps_goes_on_after_that_time_and_the_timer_s_slack(
    simulation: Simulation,
) -> None:
    times: list[int] = []

    def job() -> None:
        times.append(simulation.now)
        simulation.sleep_for(1_000_000)
        times.append(simulation.now)

    simulation.add("job", job, cpus=(0,))
    simulation.run()

    woken = times[0] + round(COSTS.syscall) + 1_000_000 + TIMER_SLACK_NS
    started = round(COSTS.wake_latency) + round(COSTS.context_switch)
    assert times[1] == woken + started


def test_in_turns_a_job_does_not_sleep_if_its_time_is_over_when_its_turn_comes() -> None:
    with simulating(2, COSTS, "full", in_turns=True) as simulation:
        ends: list[int] = []

        def sleep() -> None:
            for _ in range(10):
                simulation.sleep_for(1_000_000)
                ends.append(simulation.now)

        simulation.add("sleeper", sleep, cpus=(1,))
        simulation.add("spinner", lambda: simulation.spin_until(1_000_000_000), cpus=(0,))
        simulation.run()

    assert len(ends) == 10
    assert not any(end % TICK_NS for end in ends), "turns begin at ticks; waking up takes longer"


def test_a_writer_waits_for_as_long_as_a_reader_is_preempted_that_holds_mmap_lock(
    simulation: Simulation,
) -> None:
    process = Process()
    page = process.mmap(0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS)
    busy_ns = 30_000_000
    took: list[int] = []

    def read() -> None:
        process.mm.mmap_lock.down_read()
        simulation.burn(1_000_000)
        process.mm.mmap_lock.up_read()

    def be_busy() -> None:
        simulation.sleep_for(500_000)
        simulation.burn(busy_ns)

    def unmap() -> None:
        simulation.sleep_for(100_000)
        begin = simulation.now
        process.munmap(page, PAGE)
        took.append(simulation.now - begin)

    simulation.add("reader", read, cpus=(1,), nice=19)
    simulation.add("busy", be_busy, cpus=(1,), fifo=1)
    simulation.add("writer", unmap, cpus=(0,))
    simulation.run()

    assert took[0] > busy_ns
    assert process.mm.mmap_lock.statistics().write_wait_ns > busy_ns


def test_a_thousand_jobs_come_to_their_ends(simulation: Simulation) -> None:
    ended: list[int] = []

    def job(number: int) -> None:
        simulation.sleep_for(1_000_000)
        ended.append(number)

    for number in range(1_000):
        simulation.add(f"job {number}", partial(job, number), cpus=(0,))
    simulation.run()
    assert len(ended) == 1_000


def test_a_mutex_is_handed_to_who_has_waited_longest(simulation: Simulation) -> None:
    mutex = sync.Mutex()
    order: list[str] = []

    def hold(name: str, after: int) -> None:
        simulation.burn(after)
        with mutex:
            simulation.burn(100_000)
            order.append(name)

    for name, after in (("third", 300), ("first", 100), ("second", 200)):
        simulation.add(name, partial(hold, name, after), cpus=(0, 1))
    simulation.run()

    assert order.index("first") < order.index("second")
    assert sorted(order) == ["first", "second", "third"]
    assert not mutex.locked()


def test_each_call_takes_what_its_parts_cost(simulation: Simulation) -> None:
    process = Process()
    where = process.mmap(0, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS)
    took: list[int] = []

    def job() -> None:
        begin = simulation.now
        process.munmap(where, PAGE)
        took.append(simulation.now - begin)
        begin = simulation.now
        process.mmap(where, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED)
        took.append(simulation.now - begin)
        begin = simulation.now
        process.munmap(0, PAGE)  # nothing is there
        took.append(simulation.now - begin)

    simulation.add("job", job, cpus=(0,))
    simulation.run()

    every = round(COSTS.syscall) + round(COSTS.mmap_lock)
    assert took == [
        every + round(COSTS.munmap) + round(COSTS.free_page),
        every + round(COSTS.mmap),
        every,
    ]


def test_who_waits_for_ever_is_named_and_production_code_is_itself_again() -> None:
    mutex = sync.Mutex
    with simulating(1, COSTS, "lazy") as simulation:
        lock = sync.Mutex()
        lock.acquire()
        simulation.add("waiter", lock.acquire, cpus=(0,))
        with pytest.raises(StuckError, match="waiter"):
            simulation.run()
    assert sync.Mutex is mutex
    assert not hasattr(Process.mmap, "__wrapped__")


def test_what_a_job_fails_with_ends_all(simulation: Simulation) -> None:
    def fail() -> None:
        simulation.burn(1000)
        raise ZeroDivisionError

    simulation.add("fails", fail, cpus=(0,))
    simulation.add("goes on", lambda: simulation.burn(1_000_000), cpus=(1,))
    with pytest.raises(ZeroDivisionError):
        simulation.run()


def test_no_such_preemption_model_is_refused() -> None:
    with pytest.raises(ValueError, match="models: full, lazy"), simulating(1, COSTS, "rt"):
        pass


@pytest.mark.parametrize(("preemption", "stops"), [("full", True), ("lazy", False)])
def test_a_fair_thread_is_preempted_in_a_system_call_only_under_full_preemption(
    preemption: str, stops: bool
) -> None:
    with simulating(1, COSTS, preemption) as simulation:
        took: list[int] = []

        def call() -> None:
            simulation.burn(900_000)
            simulation.enter_kernel()
            begin = simulation.now
            simulation.burn(300_000)
            took.append(simulation.now - begin)
            simulation.leave_kernel()
            simulation.burn(1)
            took.append(simulation.now)

        def be_busy() -> None:
            simulation.sleep_for(1_000_000)
            simulation.burn(2_000_000)

        simulation.add("caller", call, cpus=(0,), nice=19)
        simulation.add("busy", be_busy, cpus=(0,))
        simulation.run()

        assert (took[0] > 300_000) is stops
        assert took[1] > 3_000_000  # it had to wait at the end
