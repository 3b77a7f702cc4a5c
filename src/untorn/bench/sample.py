"""What one run of the benchmark measured, and summaries of several runs of one kind."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median, quantiles
from typing import Any, Self

from untorn.bench import histogram
from untorn.bench.histogram import Histogram

NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: the latencies of the calls that it timed, and the readers' work.

    The four latencies are NaN if nothing was measured, for example because the mapper hung.
    """

    target: str
    reader: str
    sample: int
    """Number of the run among those of its kind, from 0."""
    updates: int
    """Calls that were timed: updates of the map, or first touches."""
    median_ms: float
    mean_ms: float
    p99_ms: float
    max_ms: float
    scans: int
    """Whole passes over the map, all scanners together."""
    bytes_read: int
    hung: bool = False
    """Whether the mapper did not end in time and was given up."""
    variant: str = ""
    """How the run differs from the reader's usual one; empty for the usual one."""
    own_cost_ns: float | None = None
    """What the timing itself adds to each call, if that was measured."""
    counters: Mapping[str, int] = field(default_factory=dict)
    """Other counts of the run by name, such as retries and fallbacks."""
    histogram_ns: Histogram = field(default_factory=dict)
    """How the latencies are distributed."""

    @classmethod
    def from_latencies(
        cls,
        target: str,
        reader: str,
        sample: int,
        latencies_ns: Sequence[int],
        *,
        scans: int = 0,
        bytes_read: int = 0,
        hung: bool = False,
        variant: str = "",
        own_cost_ns: float | None = None,
        counters: Mapping[str, int] | None = None,
    ) -> Self:
        """Sum up the latencies of one run, in nanoseconds; without any, the figures are NaN."""
        middle, mean, p99, largest = _figures_ms(latencies_ns)
        return cls(
            target,
            reader,
            sample,
            len(latencies_ns),
            middle,
            mean,
            p99,
            largest,
            scans,
            bytes_read,
            hung,
            variant,
            own_cost_ns,
            dict(counters or {}),
            histogram.count(latencies_ns),
        )

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Return the sample that as_json() turned into these fields."""
        figures = ("median_ms", "mean_ms", "p99_ms", "max_ms")
        missing = {name: math.nan for name in figures if fields[name] is None}
        bins = {int(lowest): calls for lowest, calls in fields["histogram_ns"].items()}
        return cls(**{**fields, **missing, "histogram_ns": bins})

    def as_json(self) -> dict[str, Any]:
        """Return the fields by name; a figure that was not measured is None."""
        return {name: _jsonable(getattr(self, name)) for name in self.__slots__}


def _figures_ms(latencies_ns: Sequence[int]) -> tuple[float, float, float, float]:
    """Return median, mean, 99th percentile and maximum."""
    if not latencies_ns:
        return (math.nan,) * 4
    ordered = sorted(latencies_ns)
    at_least_two = ordered if len(ordered) > 1 else 2 * ordered
    p99 = quantiles(at_least_two, n=100, method="inclusive")[-1]
    figures = median(ordered), fmean(ordered), p99, ordered[-1]
    middle, mean, p99, largest = (figure / NS_PER_MS for figure in figures)
    return middle, mean, p99, largest


def _jsonable(value: object) -> object:
    if isinstance(value, float) and math.isnan(value):
        return None
    return dict(value) if isinstance(value, Mapping) else value


@dataclass(frozen=True, slots=True)
class Summary:
    """All runs of one kind together. Latencies in milliseconds, NaN when no run has any."""

    target: str
    reader: str
    variant: str
    samples: int
    updates: int
    median_ms: float
    """Median over the runs, like mean_ms and p99_ms."""
    mean_ms: float
    p99_ms: float
    max_ms: float
    """Maximum of all runs."""
    scans: int
    hangs: int
    counters: Mapping[str, int]
    """Sums over the runs."""

    @classmethod
    def of(cls, samples: list[Sample]) -> Self:
        """Sum up the runs of one kind; there must be at least one."""
        first = samples[0]
        return cls(
            first.target,
            first.reader,
            first.variant,
            len(samples),
            sum(each.updates for each in samples),
            _median(each.median_ms for each in samples),
            _median(each.mean_ms for each in samples),
            _median(each.p99_ms for each in samples),
            max(_measured(each.max_ms for each in samples), default=math.nan),
            sum(each.scans for each in samples),
            sum(each.hung for each in samples),
            _sums(each.counters for each in samples),
        )


def label(reader: str, variant: str) -> str:
    """Return what tables and plots call a reader in that variant."""
    return f"{reader}, {variant}" if variant else reader


def by_kind(samples: Iterable[Sample]) -> list[list[Sample]]:
    """Group samples by target, reader and variant, in order of first appearance."""
    kinds: dict[tuple[str, str, str], list[Sample]] = {}
    for each in samples:
        kinds.setdefault((each.target, each.reader, each.variant), []).append(each)
    return list(kinds.values())


def summarise(samples: Iterable[Sample]) -> list[Summary]:
    """Return one summary per target, reader and variant, in order of first appearance."""
    return [Summary.of(group) for group in by_kind(samples)]


def ratio_to_none(summary: Summary, summaries: Iterable[Summary]) -> float:
    """Return its mean latency divided by that of its target without readers; NaN if not measured.

    A variant is compared with `none` in the same variant where that was measured.
    """
    baselines = {
        each.variant: each.mean_ms
        for each in summaries
        if each.target == summary.target and each.reader == "none"
    }
    baseline = baselines.get(summary.variant, baselines.get("", math.nan))
    return summary.mean_ms / baseline if baseline else math.nan


def _measured(values: Iterable[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def _median(values: Iterable[float]) -> float:
    measured = _measured(values)
    return float(median(measured)) if measured else math.nan


def _sums(counters: Iterable[Mapping[str, int]]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for each in counters:
        sums.update(each)  # unlike a sum of Counters, this keeps counts of 0
    return dict(sums)
