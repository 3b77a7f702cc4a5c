"""The format of the figures."""

import json

import pytest

from tests.helpers.made_up import ENVIRONMENT, sample
from untorn.bench.report import as_json, rawdata
from untorn.bench.run import BenchResult
from untorn.bench.target import BenchOptions

RUNS = [
    sample("live", "none", 0, 0.25, 0.75),
    sample("live", "maps", 0, 1.0, 5.0, counters={"retries": 1200}, scans=4000),
    sample("live", "maps", 1, 1.0, 1.0),
    sample("live", "maps", 2, 2.0, 2.0),
]


def test_rawdata_has_the_median_of_means_and_means_and_maxima_each_sorted() -> None:
    assert rawdata(RUNS) == (
        "# live none: median, mean, max in ms; 0 hangs\n"
        "    0.500     0.500     0.750\n"
        "\n"
        "# live maps: median, mean, max in ms; 0 hangs\n"
        "    2.000     1.000     1.000\n"
        "    2.000     2.000     2.000\n"
        "    2.000     3.000     5.000\n"
    )


def test_rawdata_counts_a_hang_and_has_no_line_for_it() -> None:
    text = rawdata([sample("live", "maps", 0, 1.0), sample("live", "maps", 1, hung=True)])
    assert text.splitlines() == [
        "# live maps: median, mean, max in ms; 1 hangs",
        "    1.000     1.000     1.000",
    ]


def test_json_is_one_object_with_environment_and_samples() -> None:
    outcome = BenchResult(RUNS, {"live/query": "no ioctl"})
    content = json.loads(as_json(outcome, ENVIRONMENT, BenchOptions(mb=7)))
    assert content["environment"]["kernel"] == "6.18.0"
    assert content["options"]["mb"] == 7
    assert content["out_of_reach"] == {"live/query": "no ioctl"}
    assert len(content["samples"]) == 4
    assert content["samples"][1]["counters"] == {"retries": 1200}
    assert content["samples"][1]["mean_ms"] == pytest.approx(3.0)
