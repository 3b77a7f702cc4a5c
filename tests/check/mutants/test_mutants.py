"""Each step of the protocol is needed: without it, some schedule breaks something."""

import pytest

from untorn.check.explore import explore
from untorn.check.memory.modes import SC
from untorn.check.mutants import MUTANTS, cures, names_of_all
from untorn.check.mutants.mutant import Mutant
from untorn.check.runtime.watching import watching
from untorn.check.scenarios import SCENARIOS
from untorn.check.strategies.source_dpor import SourceDpor
from untorn.check.telling import report
from untorn.check.telling.switches import fewest_switches
from untorn.check.work import do, plan
from untorn.mm.vma_lookup import lock_next_vma

NAMES = set(names_of_all(SC))
EQUIVALENT = {name for name in NAMES if MUTANTS[name].equivalent}


def killed(name: str, strategy: str = "dpor") -> tuple[int, str] | None:
    return report.kill([do(work) for work in plan((), strategy, None, name)])


@pytest.mark.parametrize("name", sorted(NAMES - EQUIVALENT))
def test_a_mutant_is_killed(name: str) -> None:
    found = killed(name)
    assert found is not None
    assert found[0] <= 1000


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("downgrade-wakes-nobody", "reader waits for wake-up of reader"),
        ("gives-up-and-wakes-nobody", "reader waits for wake-up of reader"),
        ("freed-after-unlock", "the page written to at 00010000 is gone"),
        ("fault-takes-any-vma", "1 pages are mapped, 0 of them inside VMAs"),
        ("shrink-tears", "a call exposed a transient hole at 00010000-00012000"),
        ("munmap-locks-all", "a writer kept readers out of a VMA that it did not change"),
        ("query-without-user", "a reader looks into an mm that has no user"),
        ("foreign-mm-kept", "an mm is left with"),
        ("file-position-unlocked", "data race: reader 2's load of file 0.seq._file_pos"),
        ("owner-kept", "mmap_lock is left behind"),
    ],
)
def test_a_mutant_is_killed_for_what_it_does(name: str, reason: str) -> None:
    found = killed(name)
    assert found is not None
    assert found[1].startswith(reason)


@pytest.mark.parametrize(
    "name", ["no-first-check", "recheck-goes-on", *(cure.name for cure in cures.MUTANTS)]
)
def test_an_equivalent_mutant_holds_where_it_is_argued_to(name: str) -> None:
    assert killed(name) is None


def test_there_are_enough_mutants_and_each_names_scenarios() -> None:
    assert len(NAMES) - len(EQUIVALENT) >= 30
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
        assert len(fewest_switches(scenario, found.schedule, mutant)) == 1


def test_a_mutant_is_gone_afterwards() -> None:
    code = lock_next_vma.__code__
    with MUTANTS["linux-6.17"].applied():
        assert lock_next_vma.__code__ is not code
    assert lock_next_vma.__code__ is code


def test_a_mutant_of_changed_code_is_refused() -> None:
    mutant = Mutant("x", "", lock_next_vma, (("not in there", ""),), ())
    with pytest.raises(ValueError, match="not there once"), mutant.applied():
        pass
