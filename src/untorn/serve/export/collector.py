"""Show figures of a host as metrics, by Prometheus' rules for names and units."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from untorn import __version__
from untorn.reader.access.budget import Budget, Spent
from untorn.serve.export.figures import GroupFigures, by_group
from untorn.serve.export.passes import Passes, Survey

_OF_GROUPS = (
    ("processes", "", "Processes that have memory."),
    (
        "unknown_processes",
        "",
        "Processes whose maps or memory are not known: sums are absent.",
    ),
    ("resident", "bytes", "Resident; shared pages count for each process (RSS)."),
    ("proportional", "bytes", "Resident; each process counts its share of shared pages (PSS)."),
    ("unique", "bytes", "Resident in pages that are mapped once (USS)."),
    ("swapped", "bytes", "In swap."),
    ("deleted_files", "bytes", "Mapped from files that were deleted or replaced."),
    ("vmas", "", "VMAs: areas of memory, one line of maps each."),
    ("process_vmas_max", "", "VMAs of the process that has the most."),
    ("map_count", "ratio", "The same, divided by how many a process may have (vm.max_map_count)."),
    ("longest_hold", "seconds", "Longest call that held a lock, in the last look at each process."),
    ("figures_age", "seconds", "Time since the earliest look in these figures."),
)
"""Fields of GroupFigures, with units and meanings."""
_OF_WORK = (
    ("looks", "looks", "", "Looks at processes, or counts of them."),
    ("seconds", "look_cpu_seconds", "seconds", "CPU time that looks took."),
    ("holds", "holds", "", "Calls that held a lock of a process."),
    ("longest_hold_ns", "longest_hold_seconds", "seconds", "The longest such call, since start."),
    ("waited", "budget_wait_seconds", "seconds", "Time that looks waited for their budget."),
)
"""Fields of Spent, with names, units and meanings."""
_NOTHING = Survey([], {}, 0, 0, 0)


class HostCollector(Collector):
    """Shows what passes find.

    Args:
        passes: Run when metrics are collected.
        budgets: What they spend, by kind of work.
        proc: Where procfs is mounted.
    """

    def __init__(self, passes: Passes, budgets: Mapping[str, Budget], proc: str) -> None:
        self._passes, self._budgets, self._proc = passes, budgets, Path(proc)

    def describe(self) -> Iterable[Metric]:
        """Return the metrics without values."""
        return [*_of_groups({}), *_of_host(_NOTHING, None), *_of_work({})]

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics. Raises OSError as Passes.survey()."""
        survey = self._passes.survey()
        most = self._most_vmas()
        yield from _of_groups(by_group(survey.seen, most, time.monotonic()))
        yield from _of_host(survey, most)
        yield from _of_work({work: budget.spent for work, budget in self._budgets.items()})

    def _most_vmas(self) -> int | None:
        """Return how many VMAs a process may have. Source: proc_sys_vm(5)."""
        with suppress(OSError):
            return int((self._proc / "sys/vm/max_map_count").read_text())
        return None


def registry_of(collector: HostCollector) -> CollectorRegistry:
    """Return all metrics: those of the host, and the costs of this process."""
    registry = CollectorRegistry()
    registry.register(collector)
    ProcessCollector(registry=registry)
    return registry


def _of_groups(groups: Mapping[str, GroupFigures]) -> Iterator[Metric]:
    for name, unit, meaning in _OF_GROUPS:
        family = GaugeMetricFamily(f"untorn_group_{name}", meaning, labels=["groupname"], unit=unit)
        for group, figures in groups.items():
            value = getattr(figures, name)
            if value is not None:
                family.add_metric([group], value)
        yield family


def _of_host(survey: Survey, most: int | None) -> Iterator[Metric]:
    yield GaugeMetricFamily("untorn_map_count_limit", "VMAs that one process may have.", most)
    skipped = GaugeMetricFamily(
        "untorn_skipped_processes", "Processes that could not be read.", labels=["reason"]
    )
    for reason, number in survey.skipped.items():
        skipped.add_metric([reason], number)
    yield skipped
    yield GaugeMetricFamily(
        "untorn_pending_counts", "Large processes that wait to be counted.", survey.pending
    )
    yield CounterMetricFamily("untorn_passes", "Passes over all processes.", survey.passes)
    yield CounterMetricFamily(
        "untorn_pass_seconds", "Time that passes took.", survey.seconds, unit="seconds"
    )
    yield InfoMetricFamily("untorn_build", "Which untorn this is.", {"version": __version__})


def _of_work(spent_by: Mapping[str, Spent]) -> Iterator[Metric]:
    for field, name, unit, meaning in _OF_WORK:
        kind = GaugeMetricFamily if field == "longest_hold_ns" else CounterMetricFamily
        family = kind(f"untorn_{name}", meaning, labels=["work"], unit=unit)
        for work, spent in spent_by.items():
            value = getattr(spent, field)
            family.add_metric([work], value / 1e9 if field.endswith("_ns") else value)
        yield family
