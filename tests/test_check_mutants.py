"""Each step of the protocol is needed: without it, some schedule breaks something."""

import pytest

from untorn.check.explore import Theatre, explore, watching
from untorn.check.mutants import MUTANTS, cures
from untorn.check.mutants.mutant import Mutant
from untorn.check.report import kill
from untorn.check.scenarios import SCENARIOS
from untorn.check.shrink import replay, shrink, what_broke
from untorn.check.story import tell
from untorn.check.strategies.replay import Replay
from untorn.check.strategies.source_dpor import SourceDpor
from untorn.check.work import do, plan
from untorn.mm.vma_lookup import lock_next_vma

EQUIVALENT = {name for name, mutant in MUTANTS.items() if mutant.equivalent}


def killed(name: str, strategy: str = "dpor") -> tuple[int, str] | None:
    return kill([do(work) for work in plan((), strategy, None, name)])


@pytest.mark.parametrize("name", sorted(MUTANTS.keys() - EQUIVALENT))
def test_a_mutant_is_killed(name: str) -> None:
    found = killed(name)
    assert found is not None
    assert found[0] <= 1000


@pytest.mark.parametrize(
    "name", ["no-first-check", "recheck-goes-on", *(cure.name for cure in cures.MUTANTS)]
)
def test_an_equivalent_mutant_holds_where_it_is_argued_to(name: str) -> None:
    assert killed(name) is None


def test_there_are_enough_mutants_and_each_names_scenarios() -> None:
    assert len(MUTANTS) - len(EQUIVALENT) >= 30
    assert {s for mutant in MUTANTS.values() for s in mutant.scenarios} <= SCENARIOS.keys()


def test_linux_shows_its_false_gap_within_a_hundred_schedules() -> None:
    found = killed("linux-6.17")
    assert found is not None
    schedules, broke = found
    assert schedules <= 100
    assert broke.startswith("rule 2: a range is left out")


@pytest.mark.parametrize("name", ["linux-6.17", "maple-iterator"])
def test_each_false_gap_of_linux_needs_one_preemption(name: str) -> None:
    mutant = MUTANTS[name]
    scenario = SCENARIOS[mutant.scenarios[0]]
    with watching():
        found = explore(scenario.build, SourceDpor(), mutant=mutant)
        assert str(found.failure).startswith("rule 2: a range is left out")
        assert len(shrink(scenario, found.schedule, mutant)) == 1


def test_a_mutant_is_gone_afterwards() -> None:
    code = lock_next_vma.__code__
    with MUTANTS["linux-6.17"].applied():
        assert lock_next_vma.__code__ is not code
    assert lock_next_vma.__code__ is code


def test_a_mutant_of_changed_code_is_refused() -> None:
    mutant = Mutant("x", "", lock_next_vma, (("not in there", ""),), ())
    with pytest.raises(ValueError, match="not there once"), mutant.applied():
        pass


def test_the_false_gap_is_told_in_five_steps() -> None:
    # 1. The lookup returns B as [1,4). 2. The reader is preempted. 3. A whole write section cuts B.
    # 4. The reader locks B, with the new end. 5. The next call samples the new sequence.
    mutant = MUTANTS["linux-6.17"]
    scenario = SCENARIOS[mutant.scenarios[0]]
    with watching():
        found = explore(scenario.build, SourceDpor(), mutant=mutant)
        switches = shrink(scenario, found.schedule, mutant)
        theatre, made = replay(scenario, switches, mutant)
        assert what_broke(theatre) == what_broke_first(found.failure)
        assert made == switches
        assert len(switches) == 1, "one preemption is enough"
        told = tell(Theatre(scenario.build, Replay(switches)), mutant)
    wanted = [
        "> mm.mm_mt.root is 10000-11000 11000-14000",
        "> mm.mm_lock_seq is 18",
        "mm.mm_lock_seq: 18 -> 19",
        "mm.mm_mt.root: 10000-11000 11000-14000 -> 10000-11000 11000-12000 12000-14000",
        "mm.mm_lock_seq: 19 -> 20",
        "B.vm_refcnt: 1 -> 2",
        "mm.mm_lock_seq is 20",
        "rule 2: a range is left out",
    ]
    lines = iter(told)
    for piece in wanted:
        assert any(piece in line for line in lines), piece


def what_broke_first(failure: BaseException | None) -> str:
    return f"{type(failure).__name__} {str(failure).split(':', 1)[0]}"
