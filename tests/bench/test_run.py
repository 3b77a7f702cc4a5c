"""Which runs are made, in which order, and what remains if one cannot be made."""

import os
import signal

import pytest

from tests.helpers.made_up import FakeTarget
from untorn.bench.run import kinds_of, measure
from untorn.bench.target import BenchOptions
from untorn.errors import OutOfReachError


def test_without_readers_named_all_and_their_variants_are_run() -> None:
    target = FakeTarget(variants={"slow": ("v1", "v2")})
    kinds = [(kind.reader, kind.variant) for kind in kinds_of([target])]
    assert kinds == [("none", ""), ("slow", ""), ("slow", "v1"), ("slow", "v2")]


def test_readers_named_are_run_in_the_targets_order() -> None:
    kinds = kinds_of([FakeTarget(readers=("none", "a", "b"))], ["b", "none"])
    assert [kind.reader for kind in kinds] == ["none", "b"]


def test_a_variant_that_is_named_is_run_alone() -> None:
    target = FakeTarget(variants={"none": ("v",), "slow": ("v1", "v2")})
    kinds = [(kind.reader, kind.variant) for kind in kinds_of([target], ["none", "slow, v2"])]
    assert kinds == [("none", ""), ("none", "v"), ("slow", "v2")]
    with pytest.raises(LookupError, match="no reader slow, v3 at target fake"):
        kinds_of([target], ["none", "slow, v3"])


def test_an_unknown_reader_is_refused_with_those_there_are() -> None:
    with pytest.raises(LookupError, match="no reader odd at target fake; readers: none, slow"):
        kinds_of([FakeTarget()], ["none", "odd"])


def test_a_reader_need_not_be_at_every_target_but_each_needs_one() -> None:
    one, other = FakeTarget("one", ("none", "a")), FakeTarget("other", ("none", "b"))
    chosen = [(kind.target.name, kind.reader) for kind in kinds_of([one, other], ["none", "a"])]
    assert chosen == [("one", "none"), ("one", "a"), ("other", "none")]
    with pytest.raises(LookupError, match="no reader a at target other"):
        kinds_of([one, other], ["a"])


def test_kinds_take_turns_sample_by_sample() -> None:
    target = FakeTarget()
    outcome = measure(kinds_of([target]), BenchOptions(nsamples=2))
    assert target.runs == [("none", 0, ""), ("slow", 0, ""), ("none", 1, ""), ("slow", 1, "")]
    assert [(each.reader, each.sample) for each in outcome.samples] == [
        ("none", 0),
        ("slow", 0),
        ("none", 1),
        ("slow", 1),
    ]


@pytest.mark.parametrize("error", [OutOfReachError("not here"), OSError("not here")])
def test_what_is_out_of_reach_is_tried_once_and_the_rest_goes_on(error: Exception) -> None:
    def refuse(reader: str, number: int) -> None:
        if reader == "slow":
            raise error

    target = FakeTarget(on_run=refuse)
    outcome = measure(kinds_of([target]), BenchOptions(nsamples=3))
    assert outcome.out_of_reach == {"fake/slow": "not here"}
    assert [each.reader for each in outcome.samples] == ["none"] * 3
    assert sum(reader == "slow" for reader, _, _ in target.runs) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_and_keeps_what_was_measured(number: signal.Signals) -> None:
    def interrupt(reader: str, sample: int) -> None:
        if (reader, sample) == ("slow", 1):
            os.kill(os.getpid(), number)

    before = signal.getsignal(signal.SIGTERM)
    target = FakeTarget(on_run=interrupt)
    outcome = measure(kinds_of([target]), BenchOptions(nsamples=5))
    assert outcome.interrupted
    assert len(outcome.samples) == 4
    assert signal.getsignal(signal.SIGTERM) == before


def test_progress_is_told_of_every_run_before_it() -> None:
    target = FakeTarget()
    told: list[tuple[str, int, int]] = []
    measure(kinds_of([target]), BenchOptions(nsamples=2), lambda *step: told.append(step))
    assert told == [
        ("fake/none", 0, 4),
        ("fake/slow", 1, 4),
        ("fake/none", 2, 4),
        ("fake/slow", 3, 4),
    ]
