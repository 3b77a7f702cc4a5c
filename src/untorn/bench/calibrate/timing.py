"""How long single calls take: what is seldom met, as a preemption, falls away in a quantile."""

import time
from collections.abc import Callable, Iterable
from statistics import median, quantiles

TIMES = 2000
"""Calls of which one figure is made, where nothing else bounds them."""


def time_one(call: Callable[[], object]) -> int:
    """Return how many ns a call takes, and looking at the clock."""
    clock = time.perf_counter_ns
    begin = clock()
    call()
    return clock() - begin


def time_in_turn(*calls: Callable[[], object], times: int = TIMES) -> list[float]:
    """Return how many ns each of several calls takes, made in turn: they have the same weather."""
    rounds = [[time_one(call) for call in calls] for _ in range(times)]
    return [quartile(each) for each in zip(*rounds, strict=True)]


def quartile(times_ns: Iterable[int]) -> float:
    """Return the lowest quartile, for times of the same thing; there must be at least two."""
    return quantiles(times_ns, n=4)[0]


def middle(times_ns: Iterable[int]) -> float:
    """Return the median, for times of things that differ; there must be at least one."""
    return float(median(times_ns))
