"""Explorations in parts: the result does not depend on who makes which when, or on stops."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from untorn.check import checkpoint, work
from untorn.check.checkpoint import Checkpoint, CheckpointError
from untorn.check.parts import Part
from untorn.check.work import Work, WorkOutcome, do, do_part

SMALL = 3000
"""Steps of a part, so that there are many."""
DFS = Work("maps/join-left", "dfs", None, 1)
DPOR = Work("maps/join-left")


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "PART_STEPS", SMALL)


def explored(
    of: Work, random: Random, again: Callable[[Checkpoint], Checkpoint] = lambda same: same
) -> WorkOutcome:
    """Make one part after the other in any order; again() may stop it in between."""
    state = Checkpoint([of])
    while left := list(state.parts[of].left()):
        part = random.choice(left)
        part.take(do_part(of, part.start))
        state = again(state)
    return outcome_of(state.parts[of])


def outcome_of(part: Part) -> WorkOutcome:
    assert part.is_done
    assert part.outcome is not None
    return replace(part.outcome, seconds=0.0)


@pytest.mark.parametrize(
    "of", [DFS, replace(DFS, mutant="linux-6.17", scenario="maps/split-above")], ids=str
)
def test_a_plain_search_in_parts_comes_to_what_it_comes_to_in_one(of: Work) -> None:
    assert explored(of, Random(1)) == replace(do(of), seconds=0.0)


def test_counts_do_not_depend_on_the_order_in_which_parts_are_made() -> None:
    assert explored(DPOR, Random(1)) == explored(DPOR, Random(2))


@pytest.mark.parametrize("of", [DFS, DPOR], ids=str)
def test_an_exploration_that_is_stopped_after_each_part_comes_to_the_same(
    of: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "_replace", lambda path, text: path.write_text(text))
    file = tmp_path / "kept.json"

    def stopped(state: Checkpoint) -> Checkpoint:
        kept = Checkpoint([of], file)
        kept.parts = state.parts
        kept.save()
        return Checkpoint([of], file)

    assert explored(of, Random(3), stopped) == explored(of, Random(4))


def test_a_checkpoint_of_other_explorations_or_other_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "kept.json"
    Checkpoint([DFS], file)
    with pytest.raises(CheckpointError, match="another strategy"):
        Checkpoint([DPOR], file)
    monkeypatch.setattr(checkpoint, "code_hash", lambda: "another")
    with pytest.raises(CheckpointError, match="of other code"):
        Checkpoint([DFS], file)


@pytest.mark.parametrize("text", ["", "[]", '{"code": "", "explorations": [{}]}', "[" * 100_000])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "kept.json"
    file.write_text(text)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        Checkpoint([DFS], file)
    assert file.read_text() == text


def test_a_file_that_cannot_be_replaced_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "kept.json"
    state = Checkpoint([DFS], file)
    before = file.read_text()
    (part,) = state.parts[DFS].left()
    part.take(do_part(DFS, part.start))
    monkeypatch.setattr("os.fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        state.save()
    assert file.read_text() == before
    assert json.loads(before)["explorations"][0]["part"]["outcome"] is None
