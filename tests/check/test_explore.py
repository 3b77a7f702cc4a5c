"""Explorations: what they install and remove, and when they are inconclusive."""

import threading

import pytest

from tests.helpers.small_programs import Every
from untorn.check.explore import Exploration, Theatre, explore
from untorn.check.runtime.execution import Strategy
from untorn.check.runtime.watching import watching
from untorn.check.runtime.world import RawPrimitiveError
from untorn.check.scenarios import SCENARIOS
from untorn.check.stage.stage import SPARE, Stage
from untorn.check.strategies.depth_first import Dfs
from untorn.check.strategies.replay import Replay
from untorn.check.strategies.sampling import Pos, RandomWalk
from untorn.check.strategies.source_dpor import SourceDpor
from untorn.check.telling.recorder import Recorder
from untorn.locking import lockdep, sync
from untorn.mm.mm_types import Vma
from untorn.mm.tree.vma_tree import Node


def explored(strategy: Strategy) -> Exploration:
    with watching():
        return explore(SCENARIOS["maps/join-left"].build, strategy)


@pytest.mark.parametrize("name", ["recycled/there", "maps/merge-both", "meet/fork"])
def test_a_schedule_has_one_trace(name: str) -> None:
    with watching():
        for seed in range(15):
            first = trace_of(theatre := Theatre(SCENARIOS[name].build, RandomWalk(1, seed)))
            schedule = dict(enumerate(theatre.run.schedule))
            again = Theatre(SCENARIOS[name].build, Replay(schedule))
            assert trace_of(again) == first
            assert trace_of(again) == first


def trace_of(theatre: Theatre) -> tuple[object, ...]:
    """Play; return each step with place and values, what readers got, what was published."""
    recorder = Recorder(theatre.run)
    theatre.play()
    recorder.finish()
    steps = [
        (e.number, e.task, e.cell.name, e.kind, e.file, e.line, plain(e.before), plain(e.after))
        for e in recorder.steps
    ]
    looks = [look for reader in theatre.stage.readers for look in reader.looks]
    return theatre.run.schedule, steps, looks, list(theatre.stage.history.states)


def plain(value: object) -> object:
    """Return what can be compared between two set-ups."""
    if isinstance(value, Node):
        return [(start, end) for start, end, _ in value.slots()]
    return value if isinstance(value, int | str | None) else type(value)


def test_a_kill_meets_a_reader_that_sleeps_and_says_nothing_of_later_schedules() -> None:
    sleeps: list[object] = []
    killed_asleep = judged = 0
    with watching():
        theatre = Theatre(SCENARIOS["meet/killed"].build, SourceDpor())
        (reader,) = theatre.stage.readers
        theatre.run.tasks[reader.task].sleeps = sleeps.append
        more = True
        while more:
            sleeps.clear()
            theatre.play()
            assert theatre.run.failure is None
            killed_asleep += reader.interrupted and bool(sleeps)
            judged += not reader.interrupted
            more = theatre.strategy.end()
    assert killed_asleep
    assert judged > killed_asleep


def test_afterwards_everything_is_as_before() -> None:
    before = vars(Vma)["vm_mm"], sync.AtomicInt, lockdep.acquire
    explored(RandomWalk(2))
    assert (vars(Vma)["vm_mm"], sync.AtomicInt, lockdep.acquire) == before


def test_a_primitive_that_does_not_come_from_sync_is_refused() -> None:
    def build(stage: Stage) -> None:
        stage.process.mm.page_table_lock = threading.Lock()

    with watching(), pytest.raises(RawPrimitiveError, match=r"mm\.page_table_lock"):
        Theatre(build, SourceDpor())


def test_a_schedule_that_grows_too_long_is_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("untorn.check.explore.MAX_STEPS", 20)
    found = explored(SourceDpor())
    assert found.complete
    assert found.limited
    assert not found.passed


def test_a_map_may_need_more_objects_than_there_are_to_spare() -> None:
    def build(stage: Stage) -> None:
        for page in range(0, 2 * SPARE + 4, 2):
            stage.process.map(page, page + 1)
        stage.read("query-one")
        stage.write(lambda: stage.process.map(40, 41))

    with watching():
        found = explore(build, RandomWalk(20))
    assert found.failure is None


def test_a_reader_must_be_right_in_every_order_that_is_taken_for_one() -> None:
    def reaped_too_early(stage: Stage) -> None:  # its end is no business of a read that fails
        stage.process.map(0, 1)
        stage.read()
        stage.write(stage.process.exit)
        stage.write(stage.process.reap, name="parent")

    with watching():
        for strategy in SourceDpor(), Dfs(1), Pos(500):
            found = explore(reaped_too_early, strategy)
            assert str(found.failure).startswith("rule 2: a range is left out")


@pytest.mark.parametrize("name", ["maps/join-right", "mmap_lock/split-above", "rcu/join-right"])
def test_what_is_alike_is_counted_as_if_it_were_played(name: str) -> None:
    scenario = SCENARIOS[name]
    with watching(speculated=scenario.speculated):
        found = explore(scenario.build, Dfs(2))
        every = explore(scenario.build, Every(2))
    assert (found.schedules, found.steps) == (every.schedules, every.steps)
    assert found.passed
    assert every.passed
    assert found.played * 5 < every.played == every.schedules
