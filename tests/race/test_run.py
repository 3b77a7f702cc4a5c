"""Runs of race tests: all pass on the engine; on a target that lies they fail, and show how."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch

import pytest

from tests.helpers.ktap_parser import Result, parse_ktap
from untorn.errors import OutOfReachError, os_error
from untorn.maps.maps_file import MapsFile
from untorn.maps.page import PAGE_SIZE
from untorn.maps.procmap_query import ProcmapQuery, QueriedVma
from untorn.race.case import catalogue
from untorn.race.engine import EngineRaceTarget, EngineScene
from untorn.race.racing import Effort
from untorn.race.scenario import Scenario
from untorn.race.tally import RaceResult
from untorn.race.target import RaceOptions
from untorn.releases.release import Release

ENOUGH = Effort(seconds=60, passes=8, rounds=4)
READERS = [
    (kind, reader) for kind, readers in EngineRaceTarget.readers.items() for reader in readers
]


def run_and_parse(
    target: EngineRaceTarget,
    kind: str = "maps",
    readers: Sequence[str] = (),
    tests: Sequence[str] = (),
    **options: bool,
) -> tuple[RaceResult, Result]:
    lines: list[str] = []
    chosen = RaceOptions(kind, readers, tests, ENOUGH, **options).fill_in(target)
    outcome = target.race(chosen, lines.append)
    (result,), _ = parse_ktap("".join(f"{line}\n" for line in lines))
    return outcome, result


@pytest.mark.parametrize(("kind", "reader"), READERS)
def test_every_test_passes_on_the_engine(kind: str, reader: str) -> None:
    outcome, result = run_and_parse(EngineRaceTarget(), kind, [reader])
    assert result.ok, result
    assert result.name == f"engine {kind} {reader}"
    assert [test.name for test in result.subtests] == list(catalogue())
    assert outcome.failed == 0
    assert outcome.tally.rounds
    has_ioctl = kind == "maps"
    skipped = [test for test in result.subtests for case in test.subtests if case.directive]
    assert {test.name for test in skipped} == set() if has_ioctl else {"query-walk", "random"}
    assert outcome.passed + outcome.skipped == sum(len(cases) for cases in catalogue().values())


class LyingFile(MapsFile):
    """A maps file whose fills lose their second line while writers are at work."""

    def __init__(self, file: MapsFile, lies: Callable[[], object]) -> None:
        self._file, self._lies = file, lies

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def procmap_query(self, question: ProcmapQuery) -> QueriedVma:
        return self._file.procmap_query(question)

    def close(self) -> None:
        self._file.close()

    def read(self, size: int) -> bytes:
        text = self._file.read(size)
        if size < PAGE_SIZE:
            return text
        lines = text.splitlines(keepends=True)
        return b"".join(lines[:1] + lines[2:]) if self._lies() and len(lines) > 1 else text


class LyingTarget(EngineRaceTarget):
    """The engine, but one line is missing from all readings."""

    def __init__(self, release: Release | None = None) -> None:
        super().__init__()
        self.name, self._release = "liar", release

    @property
    def release(self) -> Release | None:
        return self._release

    @contextmanager
    def open(self, scenario: Scenario, *, disturb: bool = False) -> Iterator[EngineScene]:
        with super().open(scenario) as opened:
            plain = opened.open_file

            def lying(file: str, reader: str) -> MapsFile:
                return LyingFile(plain(file, reader), lambda: opened._writers)

            with patch.object(opened, "open_file", lying):
                yield opened


@pytest.mark.parametrize("test", ["no-false-gap", "split", "random"])
def test_a_line_left_out_fails_the_test_and_is_reported(test: str) -> None:
    outcome, result = run_and_parse(LyingTarget(), readers=["vma_lock"], tests=[test])
    assert not result.ok
    assert outcome.failed
    assert outcome.tally.gaps
    assert not outcome.tally.known
    (failed,) = result.subtests
    case = failed.subtests[0] if failed.subtests else failed
    notes = "\n".join(case.notes)
    assert "rule 2: a range is left out that is mapped in every state of its window" in notes
    assert "lines shown:" in notes
    assert "what stood from" in notes
    assert "(not allowed)" in case.notes[-1]


def test_a_known_fault_of_a_kernel_is_named_and_still_counted() -> None:
    outcome, result = run_and_parse(
        LyingTarget(Release(6, 18)), readers=["mmap_lock"], tests=["split-inside"]
    )
    (failed,) = result.subtests
    assert not failed.ok
    assert "false gap" in "\n".join(failed.notes)
    assert "docs/false-gap.md" in "\n".join(failed.notes)
    assert outcome.tally.known.total() == outcome.tally.gaps > 0


class BrokenTarget(EngineRaceTarget):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    @contextmanager
    def open(self, scenario: Scenario, *, disturb: bool = False) -> Iterator[EngineScene]:
        raise self.error
        yield


def test_what_is_out_of_reach_is_skipped_with_its_reason() -> None:
    outcome, result = run_and_parse(
        BrokenTarget(OutOfReachError("no child here")), readers=["rcu"], tests=["split", "merge"]
    )
    assert result.ok
    assert (result.subtests[1].directive, result.subtests[1].reason) == ("SKIP", "all of it")
    case = result.subtests[1].subtests[9]
    assert (case.directive, case.reason) == ("SKIP", "no child here")
    assert (outcome.passed, outcome.skipped) == (0, 11)
    assert outcome.reasons == {"no child here": 11}


def test_a_call_that_fails_fails_the_test() -> None:
    outcome, result = run_and_parse(BrokenTarget(os_error(12)), readers=["rcu"], tests=["split"])
    assert not result.ok
    assert result.subtests[0].notes == [
        "Cannot allocate memory",
        "a call failed: Cannot allocate memory: 1 times",
    ]
    assert outcome.failed == 1


def test_a_scenario_that_changes_nothing_is_no_race(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("untorn.race.engine.EngineScene.modify", lambda run, site: None)
    _, result = run_and_parse(EngineRaceTarget(), readers=["rcu"], tests=["split", "split-inside"])
    assert [test.ok for test in result.subtests] == [False, False]
    assert all("no race" in test.notes[-1] for test in result.subtests)


def test_an_ending_leaves_the_rest_out_and_the_document_whole() -> None:
    outcome, result = run_and_parse(
        BrokenTarget(KeyboardInterrupt()), readers=["rcu"], tests=["split", "merge"]
    )
    assert outcome.interrupted
    assert [each.reason for each in result.subtests[1].subtests] == ["interrupted"] * 10


def test_verbose_shows_the_lines_before_and_after_a_round() -> None:
    _, result = run_and_parse(EngineRaceTarget(), readers=["rcu"], tests=["resize"], verbose=True)
    notes = result.subtests[0].notes
    headings = ["before modification", "after modification", "after restore"]
    assert [note for note in notes if note in headings] == headings
    assert notes.count("-- fill boundary --") == 3


def test_a_disturbance_is_announced() -> None:
    lines: list[str] = []
    target = EngineRaceTarget()
    target.race(RaceOptions("maps", ["rcu"], ["resize"], ENOUGH, disturb=True), lines.append)
    assert lines[2] == f"# disturbance: {target.disturbance()}"


@pytest.mark.parametrize(
    ("kind", "reader", "test", "message"),
    [
        ("numa_maps", [], [], "no file numa_maps at target engine; files: maps, smaps"),
        ("smaps", ["rcu"], [], "no reader rcu of smaps; readers: mmap_lock, vma_lock"),
        ("maps", [], ["tear"], "no test tear; tests: split, resize, "),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(
    kind: str, reader: Sequence[str], test: list[str], message: str
) -> None:
    with pytest.raises(LookupError, match=message):
        RaceOptions(kind, reader, test, ENOUGH).fill_in(EngineRaceTarget())


def test_options_come_over_whole_as_json() -> None:
    options = RaceOptions("maps", ["rcu"], ["split"], Effort(2.5), seed=7, verbose=True)
    assert RaceOptions.from_json(json.loads(json.dumps(options.as_json()))) == options
