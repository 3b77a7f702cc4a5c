"""A pace with an invented clock: how much is spent, when, and by whom."""

import threading
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from untorn.reader.access.pace import SHORTEST_PAUSE_NS, Pace

FILL = 30_000


class Clock:
    """A thread's time, which passes by working, by waiting, and by sleeping a little too long."""

    def __init__(self, oversleep: int = 0) -> None:
        self.now, self.used, self.oversleep = 10**9, 0, oversleep
        self.pauses: list[int] = []

    def work(self, ns: int, waited: int = 0) -> str:
        self.now += ns + waited
        self.used += ns
        return "done"

    def sleep(self, seconds: float) -> None:
        self.pauses.append(round(seconds * 1e9))
        self.now += self.pauses[-1] + self.oversleep

    def pace(self, fraction: float) -> Pace:
        return Pace(fraction, clock=lambda: self.now, cpu_clock=lambda: self.used, sleep=self.sleep)


def test_a_first_call_is_made_at_once_and_its_result_returned() -> None:
    clock = Clock()
    assert clock.pace(0.1).spend(lambda: clock.work(FILL)) == "done"
    assert clock.pauses == []


def test_after_a_call_comes_a_pause_that_makes_it_the_fraction() -> None:
    clock = Clock()
    pace = clock.pace(0.1)
    for _ in range(3):
        pace.spend(lambda: clock.work(FILL))
    assert clock.pauses == [9 * FILL] * 2


def test_a_long_call_is_followed_by_a_long_pause() -> None:
    clock = Clock()
    pace = clock.pace(0.25)
    for ns in (100 * FILL, FILL):
        pace.spend(partial(clock.work, ns))
    assert clock.pauses == [300 * FILL]


def test_short_calls_are_paid_for_together() -> None:
    clock = Clock()
    pace = clock.pace(0.1)
    for _ in range(100):
        pace.spend(lambda: clock.work(2000))
    assert min(clock.pauses) >= SHORTEST_PAUSE_NS
    assert sum(clock.pauses) == pytest.approx(9 * 2000 * 100, abs=SHORTEST_PAUSE_NS + 20_000)


def test_a_wait_inside_a_call_costs_nothing() -> None:
    clock = Clock()
    pace = clock.pace(0.1)
    pace.spend(lambda: clock.work(FILL, waited=100 * FILL))
    pace.spend(lambda: clock.work(FILL))
    assert clock.pauses == []


def test_time_that_was_not_used_is_not_saved_up() -> None:
    clock = Clock()
    pace = clock.pace(0.1)
    clock.now += 10**9
    for _ in range(2):
        pace.spend(lambda: clock.work(FILL))
    assert clock.pauses == [9 * FILL]


def test_a_call_that_fails_is_paid_for() -> None:
    clock = Clock()
    pace = clock.pace(0.1)

    def fail() -> None:
        clock.work(FILL)
        raise ProcessLookupError

    with pytest.raises(ProcessLookupError):
        pace.spend(fail)
    pace.spend(lambda: clock.work(FILL))
    assert clock.pauses == [9 * FILL]


@given(
    fraction=st.floats(0.01, 1),
    calls=st.lists(st.integers(1, 10**8), min_size=2, max_size=50),
    oversleep=st.integers(0, 10**6),
)
def test_no_more_is_spent_than_the_fraction(
    fraction: float, calls: list[int], oversleep: int
) -> None:
    clock = Clock(oversleep)
    pace, start = clock.pace(fraction), clock.now
    allowance = max(calls) + SHORTEST_PAUSE_NS * fraction
    for ns in calls:
        assert clock.used <= (clock.now - start) * fraction + allowance
        pace.spend(partial(clock.work, ns))


def test_each_thread_has_an_account_of_its_own() -> None:
    clock = Clock()
    pace = clock.pace(0.1)
    for _ in range(2):
        thread = threading.Thread(target=pace.spend, args=(lambda: clock.work(FILL),))
        thread.start()
        thread.join()
    assert clock.pauses == []


@pytest.mark.parametrize("fraction", [0, -0.1, 1.1, float("nan")])
def test_a_fraction_that_is_none_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="it must be above 0"):
        Pace(fraction)
