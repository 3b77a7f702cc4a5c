"""A long run: its parts are reported, and its results before an ending are kept."""

import os
import signal
from dataclasses import dataclass, field

import pytest

from untorn.processes.long_run import Progress, until_ending


@dataclass
class Result:
    interrupted: bool = False
    made: list[str] = field(default_factory=list)


def test_every_step_is_told_with_how_many_there_were_and_are() -> None:
    told: list[tuple[str, int, int]] = []
    progress = Progress(3, lambda *step: told.append(step))
    progress.begin("one")
    progress.begin("two")
    assert told == [("one", 0, 3), ("two", 1, 3)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_ending_lets_a_step_be_made_wholly_and_leaves_out_the_next(number: int) -> None:
    result, progress = Result(), Progress(2, lambda what, done, total: None)
    with until_ending(result):
        progress.begin("one")
        os.kill(os.getpid(), number)
        result.made.append("one")
        progress.begin("two")
        result.made.append("two")
    assert result == Result(interrupted=True, made=["one"])


def test_a_run_that_nobody_ends_is_not_interrupted() -> None:
    result = Result()
    with until_ending(result):
        result.made.append("all")
    assert result == Result(made=["all"])
