"""Each order of Linux that is needed: without it, some load may see too old a store."""

from __future__ import annotations

import pytest

from untorn.check.mutants import MUTANTS, barriers, names_of_all, stronger
from untorn.check.scenarios import SCENARIOS
from untorn.check.telling import report
from untorn.check.work import Work, WorkOutcome, do

ORDERS = {name: MUTANTS[name] for name in names_of_all("linux")}
A_RACE = "data race: reader's load of A.vm_end races with writer's"
A_RACE_OF_STORES = "data race: writer's store of A.vm_end races with reader's"
LOST = "lost wake-up: writer sleeps although its condition holds"
KILLS = {
    # At most how many schedules, and what breaks.
    "count-relaxed": (58, A_RACE),
    "second-look-relaxed": (57, A_RACE),
    "second-look-before-the-count": (39, A_RACE),
    "put-relaxed": (1, A_RACE_OF_STORES),
    "try-begin-relaxed": (150, "rule 2: a range is left out"),
    "retry-without-rmb": (30, "rule 1: a line is no VMA of any state of its window"),
    "flag-cleared-relaxed": (60, A_RACE),
    "attach-relaxed": (1282, A_RACE),
    "freed-for-anything": (219, A_RACE),
    "end-without-wmb": (75, A_RACE),
    "end-release-without-wmb": (16, "data race: reader's load of A.vm_flags races with writer's"),
    "waker-without-mb": (11, LOST),
    "waker-with-rmb": (9, LOST),
    "waker-with-wmb": (11, LOST),
    "waiter-without-mb": (9, LOST),
    "waiter-with-rmb": (9, LOST),
    "waiter-with-wmb": (9, LOST),
    "mmap-read-lock-relaxed": (17, A_RACE),
    "mmap-read-unlock-relaxed": (1, A_RACE_OF_STORES),
    "mmap-write-lock-relaxed": (1, "data race: writer 2's load of mm.map_count"),
    "mmap-write-unlock-relaxed": (1, "data race: writer 2's store of A.vm_flags"),
    "mmap-lock-got-relaxed": (5, "data race: writer 2's load of mm.map_count"),
    "file-lock-relaxed": (1, "data race: reader 2's load of file 0.seq._file_pos"),
    "spinlocks-relaxed": (1, "data race: fault 2's load of mm.page_table._tables"),
}


def explored(name: str, number: int = 0, memory: str = "linux") -> WorkOutcome:
    return do(Work(ORDERS[name].scenarios[number], mutant=name, memory=memory))


@pytest.mark.parametrize("name", sorted(KILLS.keys()))
def test_an_order_that_is_needed_is_missed(name: str) -> None:
    bound, reason = KILLS[name]
    found = explored(name)
    assert found.failure.startswith(reason)
    assert found.schedules <= bound


@pytest.mark.parametrize("name", [n for n, mutant in ORDERS.items() if mutant.equivalent])
def test_where_an_order_is_not_needed_every_schedule_holds(name: str) -> None:
    found = explored(name)
    assert found.passed, found.failure


def test_every_mutant_of_orders_is_killed_or_argued() -> None:
    assert {n for n, mutant in ORDERS.items() if not mutant.equivalent} == KILLS.keys()
    assert {s for mutant in ORDERS.values() for s in mutant.scenarios} <= SCENARIOS.keys()
    assert len(barriers.MUTANTS) >= 23
    assert all(mutant.equivalent for mutant in stronger.MUTANTS)


def test_an_order_changes_nothing_where_a_load_sees_the_last_store() -> None:
    assert explored("count-relaxed", memory="sc").passed


def test_a_kill_tells_which_load_saw_which_old_store() -> None:
    told, switches = report.story(explored("count-relaxed"))
    assert len(switches) == 2, "one preemption, and one load that misses a store"
    stale = next(n for n, line in enumerate(told) if "nothing orders the two" in line)
    assert told[stale - 1].split("  ")[-1] == "mm.mm_lock_seq is 16, not 18 (step 61):"
    assert told[-1] == A_RACE


@pytest.mark.parametrize(
    ("name", "broke"),
    [
        ("count-relaxed", "rule 2: a range is left out"),
        ("end-without-wmb", "rule 2: a range is left out"),
        ("mmap-read-lock-relaxed", "rule 1: what is shown is not a line of maps"),
        ("put-relaxed", ""),
    ],
)
def test_what_a_race_does_to_what_is_shown(name: str, broke: str) -> None:
    scenario = f"values/{ORDERS[name].scenarios[0]}"
    found = do(Work(scenario, mutant=name, memory="linux"))
    assert found.failure.startswith(broke)
    assert bool(found.failure) == bool(broke)
    assert found.schedules <= 155
