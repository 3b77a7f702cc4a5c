"""Where a thread in the kernel is preempted, and how spinning until a moment works."""

import pytest

from untorn.sim.fair import TICK_NS
from untorn.sim.machine import Machine, Thread
from untorn.sim.turns import TurnsMachine

MS = 1_000_000


def steps(machine: Machine, thread: Thread, other: Thread, *, offers: bool) -> int:
    """Let a thread burn ten times in the kernel; return after how many times the other one ran."""
    assert machine.advance() is other
    machine.alarm(other, 2 * MS)
    machine.sleep(other)
    assert machine.advance() is thread
    machine.enter_kernel(thread)
    for number in range(10):
        if not machine.burn(thread, 2 * TICK_NS) and machine.advance() is other:
            return number
        if offers:
            machine.cond_resched(thread)
    return 10


@pytest.mark.parametrize(
    ("preemption", "offers", "expected"),
    [("full", False, 0), ("none", False, 10), ("none", True, 1), ("lazy", False, 0)],
)
def test_where_a_thread_in_the_kernel_makes_way_is_up_to_the_model(
    preemption: str, offers: bool, expected: int
) -> None:
    machine = Machine(1, context_switch=0, wake_latency=0, preemption=preemption)
    thread, other = (machine.thread(name, cpus=(0,), nice=n) for name, n in (("a", 15), ("b", 0)))

    assert steps(machine, thread, other, offers=offers) == expected


def test_who_spins_until_a_moment_does_so_also_while_another_has_the_cpu() -> None:
    machine = Machine(1, context_switch=0, wake_latency=0)
    threads = [machine.thread(name, cpus=(0,)) for name in "ab"]
    for thread in threads:
        assert machine.advance() is thread
        machine.spin_until(thread, 10 * MS)

    ended = [(machine.advance(), machine.now)]
    machine.sleep(threads[0] if ended[0][0] is threads[0] else threads[1])
    ended.append((machine.advance(), machine.now))

    assert {thread for thread, _ in ended} == set(threads)
    assert all(10 * MS <= now < 11 * MS for _, now in ended)


def test_of_cpus_that_take_turns_one_at_a_time_makes_headway() -> None:
    machine = TurnsMachine(2, context_switch=0, wake_latency=0)
    threads = [machine.thread(str(cpu), cpus=(cpu,)) for cpu in range(2)]
    done = dict.fromkeys(threads, 0)
    while machine.now < 100 * TICK_NS:
        thread = machine.advance()
        assert thread is not None
        done[thread] += 1
        while machine.burn(thread, MS):
            done[thread] += 1

    assert min(done.values()) * MS > 10 * TICK_NS
    assert sum(done.values()) * MS < 90 * TICK_NS


def test_of_cpus_that_take_turns_one_that_arms_a_timer_leaves_the_turn_to_another() -> None:
    machine = TurnsMachine(2, context_switch=0, wake_latency=0)
    busy, other = (machine.thread(str(cpu), cpus=(cpu,)) for cpu in range(2))
    while (reached := machine.advance()) is not other:
        assert reached is busy
        machine.burn(busy, 100 * TICK_NS)
    tick = (machine.now // TICK_NS + 1) * TICK_NS

    assert not machine.end_turn(other)
    assert machine.advance() is other
    assert machine.now >= tick, "until then the turn was the other's"


def test_of_cpus_that_take_turns_one_keeps_its_turn_if_no_other_has_anything_to_do() -> None:
    machine = TurnsMachine(2, context_switch=0, wake_latency=0)
    thread = machine.thread("0", cpus=(0,))
    assert machine.advance() is thread
    assert machine.end_turn(thread)
