"""A budget with an invented clock: how much is spent, by whom, and who waits for how long."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from untorn.reader.access.budget import Budget, Spent

MS = 10**6


class Clock:
    """Time that passes by working and by sleeping; one thread's CPU time passes by working."""

    def __init__(self) -> None:
        self.now, self.used = 10**12, 0
        self.sleeps: list[float] = []

    def work(self, ns: int) -> None:
        self.now += ns
        self.used += ns

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += round(seconds * 1e9)

    def budget(self, share: float = 0.5, holds: float = 100, saved: float = 1) -> Budget:
        return Budget(
            share,
            holds,
            saved,
            clock=lambda: self.now,
            cpu_clock=lambda: self.used,
            sleep=self.sleep,
        )


def test_what_was_saved_up_is_spent_without_a_wait() -> None:
    clock = Clock()
    budget = clock.budget(holds=100, saved=1)
    for _ in range(100):
        budget.wait()
        budget.count_hold(5)
    assert clock.sleeps == []


def test_then_holds_come_as_often_as_they_may() -> None:
    clock = Clock()
    budget = clock.budget(holds=100, saved=1)
    began = clock.now
    for _ in range(300):
        budget.wait()
        budget.count_hold(5)
    assert clock.now - began == pytest.approx(2e9, rel=0.01)


def test_looks_take_no_more_than_their_share_of_a_cpu() -> None:
    clock = Clock()
    budget = clock.budget(share=0.5, saved=1)
    began = clock.now
    for _ in range(100):
        with budget.look():
            clock.work(100 * MS)
    assert clock.used / (clock.now - began) == pytest.approx(0.5, rel=0.1)
    assert budget.spent.seconds == pytest.approx(10)


def test_a_long_look_pays_while_it_lasts() -> None:
    clock = Clock()
    budget = clock.budget(share=0.5, saved=0)
    with budget.look():
        clock.work(100 * MS)
        budget.wait()
        assert clock.sleeps == [pytest.approx(0.2)]
        clock.work(100 * MS)
        budget.wait()
    assert clock.sleeps == [pytest.approx(0.2)] * 2
    assert budget.spent.seconds == pytest.approx(0.2)


def test_what_a_thread_does_outside_of_a_look_costs_nothing() -> None:
    clock = Clock()
    budget = clock.budget(saved=0)
    with budget.look():
        pass
    clock.work(1000 * MS)
    with budget.look():
        pass
    assert clock.sleeps == []
    assert budget.spent == Spent(looks=2)


def test_a_look_that_fails_is_paid_for() -> None:
    clock = Clock()
    budget = clock.budget(share=0.5, saved=0)

    def fail() -> None:
        with budget.look():
            clock.work(100 * MS)
            raise ProcessLookupError

    with pytest.raises(ProcessLookupError):
        fail()
    budget.wait()
    assert clock.sleeps == [pytest.approx(0.2)]


def test_all_threads_have_one_budget() -> None:
    clock = Clock()
    budget = clock.budget(holds=10, saved=0)
    budget.count_hold(7)
    thread = threading.Thread(target=budget.wait)
    thread.start()
    thread.join()
    assert clock.sleeps == [pytest.approx(0.1)]


def test_it_tells_what_was_spent() -> None:
    clock = Clock()
    budget = clock.budget(share=0.5, saved=0)
    with budget.look():
        clock.work(100 * MS)
        budget.count_hold(3)
        budget.count_hold(2)
        budget.wait()
    assert budget.spent == pytest.approx((1, 0.1, 2, 3, 1, 0.2))


@given(
    share=st.floats(0.01, 4),
    saved=st.floats(0, 10),
    looks=st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**10))),
)
def test_no_more_is_spent_than_was_saved_and_the_share(
    share: float, saved: float, looks: list[tuple[int, int]]
) -> None:
    clock = Clock()
    budget, start = clock.budget(share, 1e9, saved), clock.now
    for work, idle in looks:
        with budget.look():
            allowed = (saved + (clock.now - start) / 1e9) * share
            assert clock.used / 1e9 <= allowed + 0.001
            clock.work(work)
        clock.now += idle


@pytest.mark.parametrize(("share", "holds"), [(0, 1), (1, 0), (-1, 1), (float("nan"), 1)])
def test_a_budget_of_nothing_is_refused(share: float, holds: float) -> None:
    with pytest.raises(ValueError, match="both must be above 0"):
        Budget(share, holds)
