"""Metrics of an invented host: names, units, and what is absent."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.helpers.export import maps, process, sums
from tests.helpers.promtool import needs_promtool, promtool
from untorn.reader.access.budget import Budget
from untorn.serve.export.collector import HostCollector, registry_of
from untorn.serve.export.passes import Passes, Survey
from untorn.serve.export.process_looks import Seen

SURVEY = Survey(
    [
        Seen(process(1, 'a "b"\n\\'), maps(1, vmas=50, deleted=4096), sums(2, 8192, hold_ns=10**6)),
        Seen(process(2, "large"), maps(1, vmas=5)),
    ],
    {"no right to read": 3},
    passes=7,
    seconds=0.5,
    pending=1,
)


class FakePasses(Passes):
    """It knows what it was told."""

    def __init__(self, survey: Callable[[], Survey]) -> None:
        self.survey = survey  # type: ignore[method-assign]


@pytest.fixture
def registry(tmp_path: Path) -> CollectorRegistry:
    (tmp_path / "sys/vm").mkdir(parents=True)
    (tmp_path / "sys/vm/max_map_count").write_text("100\n")
    budget = Budget()
    with budget.look():
        budget.count_hold(2_000_000)
    passes = FakePasses(lambda: SURVEY)
    return registry_of(HostCollector(passes, {"pass": budget}, str(tmp_path)))


def test_each_figure_is_shown_by_its_name(registry: CollectorRegistry) -> None:
    group = {"groupname": 'a "b"\n\\'}
    now = time.monotonic()
    for name, value in {
        "processes": 1,
        "unknown_processes": 0,
        "resident_bytes": 8192,
        "proportional_bytes": 8192,
        "unique_bytes": 8192,
        "swapped_bytes": 8192,
        "deleted_files_bytes": 4096,
        "vmas": 50,
        "process_vmas_max": 50,
        "map_count_ratio": 0.5,
        "longest_hold_seconds": 0.001,
    }.items():
        assert registry.get_sample_value(f"untorn_group_{name}", group) == value
    age = registry.get_sample_value("untorn_group_figures_age_seconds", group)
    assert age is not None
    assert now - 1 <= age <= time.monotonic()
    for name, labels, value in (
        ("map_count_limit", {}, 100),
        ("skipped_processes", {"reason": "no right to read"}, 3),
        ("pending_counts", {}, 1),
        ("passes_total", {}, 7),
        ("pass_seconds_total", {}, 0.5),
        ("looks_total", {"work": "pass"}, 1),
        ("holds_total", {"work": "pass"}, 1),
        ("longest_hold_seconds", {"work": "pass"}, 0.002),
        ("budget_wait_seconds_total", {"work": "pass"}, 0),
    ):
        assert registry.get_sample_value(f"untorn_{name}", labels) == value


def test_what_is_not_known_is_absent(registry: CollectorRegistry) -> None:
    group = {"groupname": "large"}
    assert registry.get_sample_value("untorn_group_unknown_processes", group) == 1
    for name in ("resident_bytes", "proportional_bytes", "swapped_bytes", "longest_hold_seconds"):
        assert registry.get_sample_value(f"untorn_group_{name}", group) is None
    assert registry.get_sample_value("untorn_group_vmas", group) == 5


def test_a_procfs_without_sysctls_has_no_limit(tmp_path: Path) -> None:
    registry = registry_of(HostCollector(FakePasses(lambda: SURVEY), {}, str(tmp_path)))
    assert registry.get_sample_value("untorn_map_count_limit") is None
    group = {"groupname": "large"}
    assert registry.get_sample_value("untorn_group_map_count_ratio", group) is None
    assert registry.get_sample_value("untorn_group_process_vmas_max", group) == 5


def test_all_metrics_are_described_before_there_are_any(registry: CollectorRegistry) -> None:
    def fail() -> Survey:
        raise AssertionError

    unasked = HostCollector(FakePasses(fail), {}, "/proc")
    described = {(each.name, each.type, each.unit) for each in unasked.describe()}
    shown = {(each.name, each.type, each.unit) for each in registry.collect()}
    assert described == {each for each in shown if each[0].startswith("untorn_")}


@needs_promtool
def test_promtool_has_no_complaint(registry: CollectorRegistry) -> None:
    assert promtool("check", "metrics", text=generate_latest(registry)) == (0, "")


def test_openmetrics_is_understood_by_its_parser(registry: CollectorRegistry) -> None:
    text = generate_openmetrics(registry).decode()  # type: ignore[no-untyped-call]
    found = {each.name: each for each in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]
    assert found["untorn_group_resident_bytes"].unit == "bytes"
    assert found["untorn_look_cpu_seconds"].type == "counter"
