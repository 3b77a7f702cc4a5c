"""The checker on the production code: every scenario holds, and what was explored is known."""

import pytest

from untorn.check.explore import Exploration, explore
from untorn.check.memory.modes import SC
from untorn.check.mutants import names_of_all
from untorn.check.runtime.execution import Strategy
from untorn.check.runtime.watching import watching
from untorn.check.scenarios import SCENARIOS
from untorn.check.strategies.depth_first import Dfs
from untorn.check.strategies.sampling import Pct, Pos, RandomWalk
from untorn.check.strategies.script import Script, Until
from untorn.check.strategies.source_dpor import SourceDpor
from untorn.check.work import Work, do

SCRIPTS = SCENARIOS.named("script")
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
    "rcu/split-above": 129,
}


def explored(name: str, strategy: Strategy) -> Exploration:
    with watching(speculated=SCENARIOS[name].speculated):
        return explore(SCENARIOS[name].build, strategy)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_scripted_interleaving_shows_what_it_must(name: str) -> None:
    outcome = do(Work(name))
    assert outcome.passed, outcome.failure
    assert outcome.schedules == 1


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_scripted_interleaving_is_one_that_some_step_is_needed_in(name: str) -> None:
    failures = (do(Work(name, mutant=mutant)).failure for mutant in names_of_all(SC))
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
def test_a_scenario_holds_in_every_schedule_and_their_number_is_known(
    name: str, count: int
) -> None:
    found = explored(name, SourceDpor())
    assert found.passed, found.failure
    assert (found.schedules, found.limited) == (count, 0)


def test_every_scenario_can_be_set_up_and_played() -> None:
    deep = [name for name, scenario in SCENARIOS.items() if scenario.deep]
    for name in *SCENARIOS.default(), *deep[::8]:  # those of one group are made by one function
        found = explored(name, RandomWalk(1, seed=1))
        assert found.failure is None, name
        assert found.schedules == 1


@pytest.mark.parametrize("strategy", [Dfs(1), RandomWalk(300), Pct(300), Pos(300)])
def test_other_strategies_find_nothing_either(strategy: Strategy) -> None:
    found = explored("maps/split-below", strategy)
    assert found.failure is None
    assert found.schedules >= 50
