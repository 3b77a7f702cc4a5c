"""How long single calls take: a quantile drops what is rare, such as a preemption."""

import time
from collections.abc import Callable, Iterable
from statistics import median, quantiles

TIMES = 2000
"""Calls for one figure, if nothing else bounds them."""


def time_one(call: Callable[[], object]) -> int:
    """Return how many ns a call takes, including a look at the clock."""
    clock = time.perf_counter_ns
    begin = clock()
    call()
    return clock() - begin


def time_in_turn(*calls: Callable[[], object], times: int = TIMES) -> list[float]:
    """Return how many ns each of several calls takes; they take turns, so load hits all alike."""
    rounds = [[time_one(call) for call in calls] for _ in range(times)]
    return [quartile(each) for each in zip(*rounds, strict=True)]


def quartile(times_ns: Iterable[int]) -> float:
    """Return the lowest quartile of at least two times of the same thing."""
    return quantiles(times_ns, n=4)[0]


def middle(times_ns: Iterable[int]) -> float:
    """Return the median of at least one time; for times of things that differ."""
    return float(median(times_ns))
