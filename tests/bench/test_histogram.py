"""Bins of latencies and the curve made from them, compared with the latencies themselves."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from untorn.bench.histogram import count, merge, tail, width

LATENCIES = st.lists(
    st.one_of(st.integers(0, 200), st.integers(0, 1 << 40)), min_size=1, max_size=60
)


def test_below_64_ns_latencies_are_kept_and_above_in_32_bins_an_octave() -> None:
    assert count([0, 63, 64, 65, 66, 127, 128, 130, 131, 132]) == {
        0: 1,
        63: 1,
        64: 2,
        66: 1,
        126: 1,
        128: 3,
        132: 1,
    }
    assert len(count(range(1024, 2048))) == 32


@given(LATENCIES)
def test_each_call_is_in_the_bin_that_its_latency_lies_in(latencies_ns: list[int]) -> None:
    histogram = count(latencies_ns)
    assert sum(histogram.values()) == len(latencies_ns)
    assert list(histogram) == sorted(histogram)
    for lowest, calls in histogram.items():
        assert calls == sum(lowest <= each < lowest + width(lowest) for each in latencies_ns)


@given(LATENCIES)
def test_a_bin_is_at_most_a_thirty_second_wide(latencies_ns: list[int]) -> None:
    for lowest in count(latencies_ns):
        assert width(lowest) == 1 or 32 * width(lowest) <= lowest


@given(LATENCIES, LATENCIES)
def test_histograms_of_parts_make_that_of_the_whole(one: list[int], other: list[int]) -> None:
    assert merge([count(one), count(other)]) == count(one + other)


@given(LATENCIES)
def test_the_tail_falls_from_all_calls_to_the_longest(latencies_ns: list[int]) -> None:
    curve = tail(count(latencies_ns), max(latencies_ns))
    assert curve.shares[0] == 1
    assert (curve.ms[-1], curve.shares[-1]) == (max(latencies_ns) / 1e6, 1 / len(latencies_ns))
    assert all(one <= other for one, other in pairwise(curve.ms))
    assert all(one >= other for one, other in pairwise(curve.shares))


@given(LATENCIES)
def test_the_tail_is_that_of_the_latencies_but_for_the_width_of_a_bin(
    latencies_ns: list[int],
) -> None:
    """Of the k slowest of n calls, the curve at k/n shows the fastest."""
    curve = tail(count(latencies_ns), max(latencies_ns))
    for rank, latency_ns in enumerate(sorted(latencies_ns, reverse=True), start=1):
        share = rank / len(latencies_ns)
        shown_ns = 1e6 * max(
            ms for ms, at_least in zip(curve.ms, curve.shares, strict=True) if at_least >= share
        )
        assert shown_ns == pytest.approx(latency_ns, rel=1 / 32, abs=1e-6)
