"""The tables of untorn bench."""

import math
from collections.abc import Iterable, Sequence
from statistics import median

from rich.box import SIMPLE_HEAD
from rich.table import Table

from untorn.bench.lock_count import VMAS, LockCount
from untorn.bench.sample import Sample, Summary, label, ratio_to_none, summarise
from untorn.bench.target import BenchOptions

_COLUMNS = (
    "samples",
    "calls",
    "median",
    "mean",
    "p99",
    "max",
    "x none",
    "scans",
    "hangs",
)
_LOCKS = f"mmap_locks a pass over {VMAS:,} VMAs"


def tables(
    samples: Sequence[Sample], options: BenchOptions, lock_counts: Sequence[LockCount] = ()
) -> list[Table]:
    """Return the table of latencies, a row per target, reader and variant, and that of counts.

    If locks were counted, they stand beside the latencies.
    """
    summaries = summarise(samples)
    columns = (*_COLUMNS, _LOCKS) if lock_counts else _COLUMNS
    latencies = _table(f"latency of {options.timed}, in ms", columns, _own_cost(samples))
    locks = {(each.target, each.reader, each.variant): each.acquisitions for each in lock_counts}
    for row in summaries:
        taken = locks.get((row.target, row.reader, row.variant))
        row_cells = [*_cells(row, summaries), "-" if taken is None else f"{taken:,}"]
        del row_cells[len(columns) :]
        latencies.add_row(*_name(row), *row_cells, end_section=_is_last(row, summaries))
    counters = list(dict.fromkeys(name for each in summaries for name in each.counters))
    return [latencies, _counts(summaries, counters)] if counters else [latencies]


def _counts(summaries: list[Summary], counters: Sequence[str]) -> Table:
    counts = _table("times that the mapper was stopped, and a reader met a writer", counters, None)
    for row in summaries:
        cells = (f"{row.counters.get(name, 0):,}" for name in counters)
        counts.add_row(*_name(row), *cells, end_section=_is_last(row, summaries))
    return counts


def _table(title: str, columns: Iterable[str], caption: str | None) -> Table:
    result = Table("target", "reader", title=title, caption=caption, box=SIMPLE_HEAD)
    for column in columns:
        result.add_column(column, justify="right", no_wrap=True)
    return result


def _is_last(row: Summary, rows: list[Summary]) -> bool:
    """Return whether row is the last of its target."""
    return row is next(each for each in reversed(rows) if each.target == row.target)


def _name(row: Summary) -> tuple[str, str]:
    return row.target, label(row.reader, row.variant)


def _cells(row: Summary, all_rows: list[Summary]) -> list[str]:
    return [
        str(row.samples),
        f"{row.updates:,}",
        *map(_milliseconds, (row.median_ms, row.mean_ms, row.p99_ms, row.max_ms)),
        _or_dash(ratio_to_none(row, all_rows), ".2f"),
        f"{row.scans:,}",
        str(row.hangs),
    ]


def _own_cost(samples: Iterable[Sample]) -> str | None:
    costs = [each.own_cost_ns for each in samples if each.own_cost_ns is not None]
    return f"includes {median(costs):.0f} ns for the measuring itself" if costs else None


def _milliseconds(value: float) -> str:
    return _or_dash(value, ".4f")


def _or_dash(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)
