"""Target engine: rounds are whole, failures come out, and nothing stays behind."""

import sys
import threading

import pytest

from tests.helpers.engine import maps_of
from tests.helpers.processes import wait_until
from untorn.race.engine import EngineTarget
from untorn.race.random_writer import RandomWriter
from untorn.race.scenario import Place
from untorn.race.tearing import Resize


def test_rounds_are_made_from_start_to_stop_and_each_is_whole() -> None:
    with EngineTarget().open(Resize()) as run:
        place = Resize().place(run.region)
        before = maps_of(run._process)
        for _ in range(2):
            made = run.rounds
            run.start(place)
            wait_until(lambda made=made: run.rounds >= made + 3, "rounds are made")
            run.stop()
            assert maps_of(run._process) == before
        states = run.record.since(0)
        assert states.last >= 2 * run.rounds


def test_every_writer_of_a_scenario_makes_rounds() -> None:
    with EngineTarget().open(RandomWriter("0")) as run:
        run.start(RandomWriter("0").place(run.region))
        wait_until(lambda: len(run._rounds) == 2 and all(run._rounds), "rounds of both")
        run.stop()


def test_what_a_round_failed_with_is_raised_at_the_stop() -> None:
    with EngineTarget().open(Resize()) as run:
        run.start(Place(0x1000))
        with pytest.raises(OSError, match="Bad address"):
            run.stop()


def test_leaving_ends_the_writer_and_gives_the_switch_interval_back() -> None:
    before, threads = sys.getswitchinterval(), threading.active_count()
    with pytest.raises(KeyboardInterrupt), EngineTarget().open(Resize()) as run:  # noqa: PT012
        assert sys.getswitchinterval() < before
        run.start(Resize().place(run.region))
        raise KeyboardInterrupt
    assert sys.getswitchinterval() == before
    assert threading.active_count() == threads
