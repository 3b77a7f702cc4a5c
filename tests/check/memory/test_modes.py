"""The engine under weak memory: what holds, what does not, and how failures are printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from untorn.check.memory.orders import ONCE
from untorn.check.memory.sites import changed
from untorn.check.memory.table import Site
from untorn.check.telling import report
from untorn.check.telling.record import as_json, load
from untorn.check.work import Work, WorkOutcome, do

COUNTS = {
    # A changed count is a change of the protocol, of the table, or of the checker.
    "maps/split-above": (155, 19),
    "query-one/mprotect+mmap-next": (351, 95),
    "rcu/split-above": (57, 2),
    "meet/exit-between-lines": (7, 0),
}


@pytest.mark.parametrize(("name", "counts"), COUNTS.items())
def test_a_scenario_holds_with_every_message_that_a_load_may_see(
    name: str, counts: tuple[int, int]
) -> None:
    found = do(Work(name, memory="linux"))
    assert found.passed, found.failure
    assert (found.schedules, found.blocked) == counts


def two_writers() -> WorkOutcome:
    return do(Work("meet/two-writers", memory="linux-strict"))


def test_by_the_letter_a_reader_can_be_shown_what_a_section_before_the_last_has_changed() -> None:
    found = two_writers()
    assert found.failure == "data race: reader's load of A.vm_flags races with writer 1's"
    assert found.schedules <= 200


def test_a_stale_load_is_told_with_what_it_missed_and_replayed(tmp_path: Path) -> None:
    site = Site("mmap_lock_speculate_try_begin", "load mm_lock_seq")
    with changed({site: ONCE}):
        outcome = do(Work("maps/split-below", memory="linux"))
        assert outcome.failure.startswith("rule 2: a range is left out")
        told, switches = report.story(outcome)
        file = tmp_path / "run.json"
        file.write_text(as_json([outcome], {0: switches}))
        assert report.replayed(load(file)) == (told, True)
    assert len(switches) == 2, "one preemption, and one load that misses a store"
    at = next(n for n, line in enumerate(told) if "nothing orders the two" in line)
    assert (
        told[at - 1].lstrip(" 0123456789>").startswith("mm.mm_mt.root is 10000-12000, not 10000-")
    )


def test_a_release_where_a_section_begins_is_enough_for_the_letter() -> None:
    work = Work("meet/two-writers", mutant="begin-release", memory="linux-strict")
    found = do(work, lambda f: f.schedules >= 300)
    assert not found.failure
    assert found.schedules == 300


@pytest.mark.parametrize(
    ("mutant", "scenario"),
    [("linux-6.17", "AB/mprotect-1"), ("maple-iterator", "maps/merge-right")],
)
def test_a_mutant_of_the_code_has_the_orders_of_the_code(mutant: str, scenario: str) -> None:
    found = do(Work(scenario, mutant=mutant, memory="linux"))
    assert found.failure.startswith("rule 2: a range is left out")
