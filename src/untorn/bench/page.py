"""The whole benchmark on one HTML page that needs no other file."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from html import escape

from untorn.bench.environment import Environment
from untorn.bench.lock_count import VMAS
from untorn.bench.report import as_json
from untorn.bench.run import BenchResult
from untorn.bench.sample import label, ratio_to_none, summarise
from untorn.bench.target import WORKLOADS, BenchOptions

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { padding: 0.15rem 0.8rem; text-align: right; border-bottom: 1px solid #e4e4e4; }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }
pre { background: #f6f6f6; padding: 0.8rem; overflow: auto; }
svg { max-width: 100%; height: auto; }
"""
_ABOUT = f"""
A mapper maps and unmaps random pages and times each call; or it times first touches of pages, while
another thread of it maps and unmaps. On another CPU scanners of low priority read its map over and
over, and busy tasks preempt them. <i>none</i> is the same without scanners; each mean is also given
as a multiple of it. The locks are the times that one pass over a process of {VMAS:,} VMAs takes its
mmap_lock: that figure is exact on a busy machine too.
"""


def page(
    result: BenchResult,
    environment: Environment,
    options: BenchOptions,
    command: str,
    plot: str = "",
) -> str:
    """Return the page.

    Args:
        result: What was measured.
        environment: Where.
        options: How.
        command: The shell command that repeats it.
        plot: An SVG element, or an empty string.
    """
    figures = as_json(result, environment, options)
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><meta charset="utf-8"><title>Who stalls whom</title>',
        f"<style>{_STYLE}</style>",
        f"<h1>Who stalls whom: {WORKLOADS[options.workload]} while others read the map</h1>",
        f"<p>{_ABOUT}</p>",
        plot,
        f"<h2>Latency of {escape(options.timed)}</h2>{_summary(result)}",
        _missing(result),
        f"<h2>Do it again</h2><pre>{escape(command)}</pre>",
        f"<h2>Where</h2>{_environments(result, environment)}",
        f"<h2>Every run</h2>{_runs(result)}",
        f"<h2>All of it, as JSON</h2><details><summary>show</summary><pre>{escape(figures)}</pre>",
        "</details></html>",
    ]
    return "\n".join(parts) + "\n"


def _summary(result: BenchResult) -> str:
    summaries = summarise(result.samples)
    locks = {(each.target, each.reader, each.variant): each for each in result.lock_counts}
    rows = []
    for row in summaries:
        count = locks.get((row.target, row.reader, row.variant))
        ratio = ratio_to_none(row, summaries)
        latencies = (row.median_ms, row.mean_ms, row.p99_ms, row.max_ms)
        name = label(row.reader, row.variant)
        taken = f"{count.acquisitions:,}" if count else "-"
        rows.append((row.target, name, row.samples, *map(_figure, (*latencies, ratio)), taken))
    heads = ("target", "reader", "runs", "median, ms", "mean, ms", "p99, ms", "max, ms", "x none")
    return _table((*heads, "mmap_locks a pass"), rows)


def _missing(result: BenchResult) -> str:
    """Return notes on what is missing among the figures."""
    parts = []
    if result.interrupted:
        parts.append(f"<p>Interrupted after {len(result.samples)} runs.</p>")
    if result.out_of_reach:
        parts.append(_table(("out of reach", "why"), result.out_of_reach.items()))
    return "".join(parts)


def _runs(result: BenchResult) -> str:
    rows = [
        (
            each.target,
            label(each.reader, each.variant),
            each.sample,
            each.updates,
            *map(_figure, (each.median_ms, each.mean_ms, each.p99_ms, each.max_ms)),
            each.scans,
            ", ".join(f"{name} {count}" for name, count in each.counters.items()),
        )
        for each in result.samples
    ]
    heads = ("target", "reader", "run", "calls", "median", "mean", "p99", "max", "scans")
    return _table((*heads, "counted"), rows)


def _environments(result: BenchResult, environment: Environment) -> str:
    places = {"this machine": environment} | result.guests
    rows = [
        (place, name, value if isinstance(value, str) else json.dumps(value))
        for place, where in places.items()
        for name, value in asdict(where).items()
    ]
    return _table(("", "", ""), rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["<tr>" + "".join(f"<th>{escape(head)}" for head in heads)]
    lines += ["<tr>" + "".join(f"<td>{escape(str(cell))}" for cell in row) for row in rows]
    return "<table>" + "\n".join(lines) + "</table>"


def _figure(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"
