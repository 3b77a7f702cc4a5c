"""The checker on the production code: every scenario holds, and what was explored is known."""

import threading

import pytest

from untorn.check.explore import Exploration, Theatre, explore
from untorn.check.mutants import MUTANTS
from untorn.check.runtime.watching import watching
from untorn.check.runtime.world import RawPrimitiveError
from untorn.check.scenarios import SCENARIOS
from untorn.check.scenarios.scenario import Until
from untorn.check.stage.stage import SPARE, Stage
from untorn.check.strategies.depth_first import Dfs
from untorn.check.strategies.replay import Replay
from untorn.check.strategies.sampling import Pct, Pos, RandomWalk
from untorn.check.strategies.script import Script
from untorn.check.strategies.source_dpor import SourceDpor
from untorn.check.telling.recorder import Recorder
from untorn.check.work import Work, do
from untorn.locking import lockdep, sync
from untorn.mm.mm_types import Vma
from untorn.mm.tree.vma_tree import Node

SCRIPTS = [name for name, scenario in SCENARIOS.items() if scenario.script is not None]
COUNTS = {
    # A changed count is a change of the protocol, or of the checker: look at it, then pin it anew.
    "maps/split-above": 117,
    "maps/join-left": 216,
    "query/merge-right-partial": 547,
    "smaps/merge-right": 604,
    "meet/two-readers": 1,
    "meet/two-readers-and-a-writer": 12397,
    "meet/writers-alone": 8,
    "meet/exit": 5,
    "meet/at-the-limit": 34,
    "meet/killed": 124,
    "wait/killed-by-a-writer": 40,
    "recycled/there": 601,
    "query-one/mprotect+mmap-next": 203,
    "query-one/munmap+other-mmap": 321,
    "ABC/mprotect-1": 303,
    "mmap_lock/split-above": 19,
    "rcu/split-above": 93,
}


def explored(name: str, strategy: object) -> Exploration:
    with watching(speculated=SCENARIOS[name].speculated):
        return explore(SCENARIOS[name].build, strategy)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_scripted_interleaving_shows_what_it_must(name: str) -> None:
    outcome = do(Work(name))
    assert outcome.passed, outcome.failure
    assert outcome.schedules == 1


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_scripted_interleaving_is_one_that_some_step_is_needed_in(name: str) -> None:
    failures = (do(Work(name, mutant=mutant)).failure for mutant in MUTANTS)
    assert any(failure and "does not come to" not in failure for failure in failures)


@pytest.mark.parametrize("name", ["script/a10", "script/a11", "script/a12"])
def test_linux_leaves_a_range_out_where_the_design_was_checked_against_it(name: str) -> None:
    assert do(Work(name, mutant="linux-6.17")).failure.startswith("rule 2: a range is left out")


def test_a_script_that_cannot_be_followed_fails() -> None:
    script = Script([Until("reader", "A.vm_refcnt", skip=9)])
    found = explored("maps/join-left", script)
    assert str(found.failure) == "reader does not come to A.vm_refcnt"


def test_a_script_that_shows_something_else_fails() -> None:
    scenario = SCENARIOS["script/a03"]
    before = ((-1, 0, "r--p"), (0, 3, "rw-p"), (3, 4, "r--p"))
    with watching():
        found = explore(scenario.build, Script(scenario.script or ()), shown=before)
    assert str(found.failure).startswith("shown were")


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_a_scenario_holds_in_every_schedule_and_their_number_is_known(name, count) -> None:
    found = explored(name, SourceDpor())
    assert found.passed, found.failure
    assert (found.schedules, found.limited) == (count, 0)


def test_every_scenario_can_be_set_up_and_played() -> None:
    for name in SCENARIOS:
        found = explored(name, RandomWalk(1, seed=1))
        assert found.failure is None, name
        assert found.schedules == 1


@pytest.mark.parametrize("strategy", [Dfs(1), RandomWalk(300), Pct(300), Pos(300)])
def test_other_strategies_find_nothing_either(strategy) -> None:
    found = explored("maps/split-below", strategy)
    assert found.failure is None
    assert found.schedules >= 50


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
    explored("maps/join-left", RandomWalk(2))
    assert (vars(Vma)["vm_mm"], sync.AtomicInt, lockdep.acquire) == before


def test_a_primitive_that_does_not_come_from_sync_is_refused() -> None:
    def build(stage: Stage) -> None:
        stage.process.mm.page_table_lock = threading.Lock()

    with watching(), pytest.raises(RawPrimitiveError, match=r"mm\.page_table_lock"):
        Theatre(build, SourceDpor())


def test_a_schedule_that_grows_too_long_is_inconclusive(monkeypatch) -> None:
    monkeypatch.setattr("untorn.check.explore.MAX_STEPS", 20)
    found = explored("maps/join-left", SourceDpor())
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
