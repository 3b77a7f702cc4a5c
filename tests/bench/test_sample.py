"""Statistics of one run and of several."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.made_up import sample
from untorn.bench.sample import Sample, Summary, ratio_to_none, summarise


def test_figures_of_a_run_are_in_milliseconds() -> None:
    run = Sample.from_latencies("t", "r", 0, range(1_000_000, 102_000_000, 1_000_000))
    assert (run.updates, run.median_ms, run.mean_ms, run.max_ms) == (101, 51.0, 51.0, 101.0)
    assert run.p99_ms == pytest.approx(100.0)


@given(st.lists(st.integers(0, 1 << 40), min_size=1))
def test_figures_of_a_run_are_those_of_numpy(latencies_ns: list[int]) -> None:
    run = Sample.from_latencies("t", "r", 0, latencies_ns)
    median, p99 = np.percentile(latencies_ns, (50, 99)) / 1e6
    expected = median, np.mean(latencies_ns) / 1e6, p99, max(latencies_ns) / 1e6
    assert (run.median_ms, run.mean_ms, run.p99_ms, run.max_ms) == pytest.approx(expected)


def test_a_run_without_updates_has_null_figures_in_json() -> None:
    hung = sample("t", "r", 0, hung=True).as_json()
    assert hung["hung"] is True
    assert [hung[key] for key in ("median_ms", "mean_ms", "p99_ms", "max_ms")] == [None] * 4
    json.dumps(hung, allow_nan=False)


def test_a_sample_is_made_again_from_its_json() -> None:
    run = sample("t", "r", 0, 0.5, 0.5, 7.0, counters={"retries": 3})
    assert Sample.from_json(json.loads(json.dumps(run.as_json()))) == run
    assert run.histogram_ns == {499712: 2, 6946816: 1}


def test_json_of_a_sample_has_the_promised_keys() -> None:
    promised = {"target", "reader", "sample", "updates", "median_ms", "mean_ms", "p99_ms"}
    promised |= {"max_ms", "scans", "bytes_read", "hung", "histogram_ns"}
    assert promised <= sample("t", "r", 0, 1.0, counters={"retries": 3}).as_json().keys()


def test_summary_takes_medians_over_runs_and_the_largest_maximum() -> None:
    runs = [sample("t", "r", 0, 1, 1), sample("t", "r", 1, 2, 8), sample("t", "r", 2, 3, 3)]
    summary = Summary.of(runs)
    assert (summary.median_ms, summary.mean_ms, summary.max_ms) == (3.0, 3.0, 8.0)
    assert (summary.samples, summary.updates) == (3, 6)


def test_a_hung_run_counts_as_a_hang_and_not_as_a_latency() -> None:
    summary = Summary.of([sample("t", "r", 0, 2.0), sample("t", "r", 1, hung=True)])
    assert (summary.hangs, summary.mean_ms, summary.max_ms) == (1, 2.0, 2.0)


def test_when_every_run_hung_there_is_no_figure() -> None:
    summary = Summary.of([sample("t", "r", 0, hung=True)])
    assert math.isnan(summary.mean_ms)
    assert math.isnan(summary.max_ms)


def test_counters_add_up_over_runs() -> None:
    runs = [
        sample("t", "r", 0, 1.0, counters={"retries": 2}),
        sample("t", "r", 1, 1.0, counters={"retries": 3, "fallbacks": 1}),
    ]
    assert Summary.of(runs).counters == {"retries": 5, "fallbacks": 1}


def test_summaries_keep_target_reader_and_variant_apart_in_order_of_first_sight() -> None:
    runs = [
        sample("b", "x", 0, 1.0),
        sample("a", "x", 0, 1.0),
        sample("a", "x", 0, 1.0, variant="v"),
        sample("b", "x", 1, 1.0),
    ]
    kinds = [(each.target, each.variant, each.samples) for each in summarise(runs)]
    assert kinds == [("b", "", 2), ("a", "", 1), ("a", "v", 1)]


def test_ratio_is_of_medians_of_means_within_one_target() -> None:
    runs = [sample("a", "none", n, mean) for n, mean in enumerate((1.0, 2.0, 90.0))]
    runs += [sample("a", "slow", n, mean) for n, mean in enumerate((1.0, 6.0, 7.0))]
    runs += [sample("b", "none", 0, 100.0)]
    summaries = summarise(runs)
    assert ratio_to_none(summaries[1], summaries) == 3.0


def test_ratio_of_a_variant_is_to_none_of_that_variant_where_there_is_one() -> None:
    runs = [sample("a", "none", 0, 1.0), sample("a", "slow", 0, 8.0, variant="v")]
    assert ratio_to_none(summarise(runs)[1], summarise(runs)) == 8.0
    runs.append(sample("a", "none", 0, 2.0, variant="v"))
    assert ratio_to_none(summarise(runs)[1], summarise(runs)) == 4.0


def test_without_none_there_is_no_ratio() -> None:
    summaries = summarise([sample("a", "slow", 0, 8.0)])
    assert math.isnan(ratio_to_none(summaries[0], summaries))
