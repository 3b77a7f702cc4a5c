"""Timelines: which thread ran where on a simulated machine, and which held mmap_lock."""

from itertools import pairwise

import pytest

from untorn.bench.sim_run import simulate
from untorn.bench.target import BenchOptions
from untorn.releases.release import modelled_by_name
from untorn.sim.costs import CostTable
from untorn.sim.timeline import Span, Timeline

OPTIONS = BenchOptions(virtual_duration=0.2, scanners=2, mb=2)


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    watched = Timeline()
    costs = CostTable.load().costs
    simulate(modelled_by_name(""), "mmap_lock", OPTIONS, "1", costs, watched.watching)
    return watched


def overlap(spans: list[Span]) -> bool:
    return any(before.end > after.start for before, after in pairwise(spans))


def test_a_cpu_runs_one_thread_at_a_time(timeline: Timeline) -> None:
    assert {cpu: overlap(spans) for cpu, spans in timeline.runs.items()} == {0: False, 1: False}


def test_who_holds_the_lock_for_writing_holds_it_alone(timeline: Timeline) -> None:
    assert {span.thread for span in timeline.writes} == {"mapper"}
    assert not any(
        read.start < write.end and write.start < read.end
        for read in timeline.reads
        for write in timeline.writes
    )


def test_a_scanner_holds_the_lock_while_another_task_has_its_cpu(timeline: Timeline) -> None:
    assert any(
        read.thread.startswith("scanner") and read.start < run.start and run.end < read.end
        for read in timeline.reads
        for run in timeline.runs[1]
        if run.thread.startswith("busy")
    )
