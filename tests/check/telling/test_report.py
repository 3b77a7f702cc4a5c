"""The printed summary of a run."""

from untorn.check.telling.report import summary
from untorn.check.work import Work, WorkOutcome


def outcome(*, limited: int = 0, complete: bool = True) -> WorkOutcome:
    """Return the outcome of an exploration of ten schedules."""
    work = Work("maps/join-right")
    return WorkOutcome(work, 10, 0, limited, 500, 0.5, complete, "", ())


def test_what_was_broken_off_is_not_told_as_inconclusive() -> None:
    told = summary([outcome(), outcome(complete=False), outcome(limited=1), outcome(limited=2)])
    assert told == "4 scenarios, 40 schedules, 2.0 s of CPU, 2 inconclusive, 1 unfinished"


def test_of_what_holds_nothing_more_is_told() -> None:
    assert summary([outcome()]) == "1 scenarios, 10 schedules, 0.5 s of CPU, nothing broke"
