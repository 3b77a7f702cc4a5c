"""How latencies are distributed: how many calls took how long, in bins of a thirty-second or less.

Below 64 ns each number has a bin of its own; from there on each octave has 32 bins of one width. A
bin is known by its lowest latency, so a histogram says by itself what its bins are.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_EXACT_BITS = 6
"""Significant bits kept of a latency: the leading one, and five that tell 32 bins apart."""
Histogram = Mapping[int, int]
"""Calls in each bin, by its lowest latency in ns; ascending, no bin is empty."""


class Tail(NamedTuple):
    """Pairs of a time and the share of calls that took at least that long; times ascend.

    The line between two points is straight; it is level where no call fell.
    """

    ms: list[float]
    shares: list[float]


def count(latencies_ns: Iterable[int]) -> dict[int, int]:
    """Count latencies, in whole nanoseconds, bin by bin."""
    bins: Counter[int] = Counter()
    for latency_ns, calls in Counter(latencies_ns).items():
        bins[latency_ns - latency_ns % width(latency_ns)] += calls
    return dict(sorted(bins.items()))


def width(latency_ns: int) -> int:
    """Return how many nanoseconds wide the bin of a latency is."""
    return 1 << max(latency_ns.bit_length() - _EXACT_BITS, 0)


def merge(histograms: Iterable[Histogram]) -> dict[int, int]:
    """Return one histogram of the calls in all of these."""
    calls: Counter[int] = Counter()
    for each in histograms:
        calls.update(each)
    return dict(sorted(calls.items()))


def tail(histogram: Histogram, longest_ns: int) -> Tail:
    """Return the share of calls by the time they took at least; the last point is the longest call.

    It is exact at both ends of each bin. There must be a call.
    """
    total = left = sum(histogram.values())
    points = []
    for lowest, calls in histogram.items():
        points += [(lowest, left), (lowest + width(lowest), left - calls)]
        left -= calls
    points[-1] = (longest_ns, 1)
    return Tail([ns / 1e6 for ns, _ in points], [calls / total for _, calls in points])
