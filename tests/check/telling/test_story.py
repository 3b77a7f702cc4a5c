"""The printed failing schedule, which can be played again."""

import re
from pathlib import Path

from tests.helpers.repository import ROOT
from untorn.check.explore import Theatre, explore
from untorn.check.mutants import MUTANTS
from untorn.check.runtime.watching import watching
from untorn.check.scenarios import SCENARIOS
from untorn.check.strategies.replay import Replay
from untorn.check.strategies.source_dpor import SourceDpor
from untorn.check.telling import report
from untorn.check.telling.record import as_json, load
from untorn.check.telling.story import tell
from untorn.check.telling.switches import fewest_switches, replay
from untorn.check.work import Work, do, plan


def test_the_false_gap_is_told_in_five_steps() -> None:
    # 1. The lookup returns B as [1,4). 2. The reader is preempted. 3. A whole write section cuts B.
    # 4. The reader locks B, with the new end. 5. The next call samples the new sequence.
    mutant = MUTANTS["linux-6.17"]
    scenario = SCENARIOS[mutant.scenarios[0]]
    with watching():
        found = explore(scenario.build, SourceDpor(), mutant=mutant)
        switches = fewest_switches(scenario, found.schedule, mutant)
        theatre, made = replay(scenario, switches, mutant)
        assert str(theatre.run.failure) == str(found.failure)
        assert made == switches
        assert len(switches) == 1, "one preemption is enough"
        told = tell(Theatre(scenario.build, Replay(switches)), mutant)
    wanted = [
        "> mm.mm_mt.root is 10000-11000 11000-14000",
        "> mm.mm_lock_seq is 18",
        "mm.mm_lock_seq: 18 -> 19",
        "mm.mm_mt.root: 10000-11000 11000-14000",
        "-> 10000-11000 11000-12000 12000-14000",
        "mm.mm_lock_seq: 19 -> 20",
        "B.vm_refcnt: 1 -> 2",
        "mm.mm_lock_seq is 20",
        "rule 2: a range is left out",
    ]
    lines = iter(told)
    for piece in wanted:
        assert any(piece in line for line in lines), piece


def story(name: str) -> list[str]:
    (outcome,) = [do(work) for work in plan((), "dpor", None, name)]
    return report.story(outcome)[0]


def test_a_data_race_is_told_with_both_its_accesses() -> None:
    told = story("split-without-lock")
    assert told[-1] == "data race: writer's store of A.vm_end races with reader's"
    accesses = [at for at, line in enumerate(told) if line.startswith("    ! ")]
    first, second = (told[at].removeprefix("    ! ").strip() for at in accesses)
    assert first == "A.vm_end is 12000"
    assert "proc/show_map.py" in told[accesses[0] + 1]
    assert second == "about to store A.vm_end, which is 12000"
    assert "<mutant split-without-lock>" in told[accesses[1] + 1]


def test_what_tasks_make_while_they_run_is_told_with_its_values() -> None:
    told = "\n".join(story("rwsem-wakes-before-granting"))
    assert re.search(r"Waiter\.granted \d\.\d+ is False", told)
    assert re.search(r"gives wake-up of \w+\n", told)
    assert re.search(r"takes wake-up of \w+\n", told)


def test_a_schedule_that_does_not_end_is_told_and_replayed(tmp_path: Path) -> None:
    (outcome,) = [do(work) for work in plan((), "dpor", None, "position-by-vm-start")]
    assert (outcome.failure, outcome.limited) == ("", 1)
    told, switches = report.story(outcome)
    again = re.fullmatch(r"does not end: steps (\d+) to (\d+) again and again", told[-1])
    assert again is not None
    shown = [int(line[:4]) for line in told if line[:4].strip().isdigit()]
    assert set(range(int(again[1]), int(again[2]) + 1)) <= set(shown)
    file = tmp_path / "run.json"
    file.write_text(as_json([outcome], {0: switches}))
    assert report.replayed(load(file)) == (told, True)


def test_the_document_tells_the_false_gap_as_the_checker_does() -> None:
    document = (ROOT / "docs" / "checker.md").read_text()
    block = document.partition("```text\nAB/")[2].partition("\n```")[0]
    place = re.compile(r" +[\w/]+\.py:\d+  ")
    told = [line for line in story("linux-6.17") if not place.match(line)]
    assert told == [line for line in f"AB/{block}".splitlines() if not place.match(line)]


def test_a_failure_before_the_first_step_is_told() -> None:
    told = story("no-file-lock")
    assert [line[4] for line in told if line.startswith("    ")][:1] == ["!"]
    assert told[-1].startswith("data race: reader 2's store of file 0.seq.")


def test_what_a_sampler_found_is_told_as_that() -> None:
    works = plan((), "pos", None, "flags-without-lock")
    outcome = next(each for each in map(do, works) if each.failure)
    assert outcome.failure.startswith("rule 1")
    assert outcome.failure.splitlines()[0] in report.story(outcome)[0]


def test_a_script_is_told_as_it_was_followed_and_replayed(tmp_path: Path) -> None:
    outcome = do(Work("script/a07", mutant="always-fall-back"))
    assert outcome.failure == "reader does not come to B.vm_lock_seq"
    told, switches = report.story(outcome)
    assert told[-1] == outcome.failure
    file = tmp_path / "run.json"
    file.write_text(as_json([outcome], {0: switches}))
    assert report.replayed(load(file)) == (told, True)


def test_an_error_is_told_with_its_place() -> None:
    told = story("foreign-mm-kept-late")
    assert re.fullmatch(r"AttributeError: vma_writer_wait at mm/mm_types.py:\d+", told[-1])
    assert any("A.vm_mm: mm -> mm 2" in line for line in told)
