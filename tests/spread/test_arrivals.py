"""Arrivals: futures in the order in which they are done."""

from concurrent.futures import Future

from untorn.spread.arrivals import Arrivals

MANY = 10_000
"""More than a socket takes bytes before it is full."""


def test_thousands_may_be_done_before_anyone_asks() -> None:
    with Arrivals[int]() as arrivals:
        futures = [arrivals.expect(Future()) for _ in range(MANY)]
        for number, future in enumerate(reversed(futures)):
            future.set_result(number)
        assert [arrivals.next().result() for _ in futures] == list(range(MANY))


def test_thousands_may_be_cancelled_at_once() -> None:
    with Arrivals[int]() as arrivals:
        for future in [arrivals.expect(Future()) for _ in range(MANY)]:
            future.cancel()
        assert all(arrivals.next().cancelled() for _ in range(MANY))


def test_what_is_done_after_the_end_is_of_no_interest() -> None:
    with Arrivals[int]() as arrivals:
        late = arrivals.expect(Future())
    late.set_result(0)
