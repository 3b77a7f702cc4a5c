"""What the tables of untorn bench look like."""

import io
from typing import Any

from rich.console import Console

from tests.helpers.made_up import sample
from untorn.bench.sample import Sample
from untorn.bench.target import BenchOptions
from untorn.cli.bench_tables import tables

RUNS = [
    sample("live", "none", 0, 0.25, 0.75),
    sample("live", "maps", 0, 1.0, 5.0, counters={"retries": 1200}, scans=4000),
    sample("live", "maps", 1, 1.0, 1.0),
    sample("live", "maps", 2, 2.0, 2.0),
]


def lines(samples: list[Sample], **options: Any) -> list[str]:
    """The lines of the tables, with columns one space apart."""
    text = io.StringIO()
    Console(file=text, width=300).print(*tables(samples, BenchOptions(**options)))
    return [" ".join(line.split()) for line in text.getvalue().splitlines()]


def test_the_table_has_a_row_per_reader_with_its_ratio() -> None:
    assert "live none 1 2 0.5000 0.5000 0.7450 0.7500 1.00 0 0" in lines(RUNS)
    assert "live maps 3 6 2.0000 2.0000 2.0000 5.0000 4.00 4,000 0" in lines(RUNS)


def test_a_table_of_counts_follows_if_something_was_counted() -> None:
    assert "target reader retries" in lines(RUNS)
    assert "live maps 1,200" in lines(RUNS)
    assert not any("retries" in line for line in lines(RUNS[:1]))


def test_the_table_shows_hangs_and_a_dash_for_what_was_not_measured() -> None:
    assert "live maps 1 0 - - - - - 0 1" in lines([sample("live", "maps", 0, hung=True)])


def test_a_variant_has_a_row_of_its_own() -> None:
    rows = lines([sample("engine", "rcu", 0, 1.0), sample("engine", "rcu", 0, 3.0, variant="odd")])
    assert any(row.startswith("engine rcu 1 1 1.0000") for row in rows)
    assert any(row.startswith("engine rcu, odd 1 1 3.0000") for row in rows)


def test_the_cost_of_measuring_is_told_where_it_is_known() -> None:
    with_cost = lines([sample("live", "none", 0, 1.0, own_cost_ns=432.1)])
    assert "includes 432 ns for the measuring itself" in with_cost
    assert not any("measuring" in row for row in lines(RUNS))


def test_the_title_says_what_was_timed_beside_what() -> None:
    assert "latency of mmap and munmap, in ms" in lines(RUNS)
    options = {"workload": "fault", "resident_mb": 4096, "huge": True}
    title = "latency of first touches of pages; 4,096 MiB resident in one VMA of huge pages, in ms"
    assert title in lines(RUNS, **options)
