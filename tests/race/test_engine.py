"""Target engine: rounds are complete, failures are raised, and nothing stays behind."""

import sys
import threading

import pytest

from tests.helpers.engine import text_of
from tests.helpers.tasks import wait_until
from untorn.race.engine import EngineRaceTarget
from untorn.race.random_writer import RandomWriter
from untorn.race.scenario import Site
from untorn.race.tearing import Resize


def test_rounds_are_made_from_start_to_stop_and_each_is_whole() -> None:
    with EngineRaceTarget().open(Resize()) as scene:
        site = Resize().site(scene.region)
        before = text_of(scene._process)

        def start_and_stop() -> None:
            made = scene.rounds
            scene.start(site)
            wait_until(lambda: scene.rounds >= made + 3, "rounds are made")
            scene.stop()
            assert text_of(scene._process) == before

        start_and_stop()
        start_and_stop()
        states = scene.record.since(0)
        assert states.last >= 2 * scene.rounds


def test_every_writer_of_a_scenario_makes_rounds() -> None:
    with EngineRaceTarget().open(RandomWriter("0")) as scene:
        scene.start(RandomWriter("0").site(scene.region))
        wait_until(lambda: len(scene._rounds) == 2 and all(scene._rounds), "rounds of both")
        scene.stop()


def test_what_a_round_failed_with_is_raised_at_the_stop() -> None:
    with EngineRaceTarget().open(Resize()) as scene:
        scene.start(Site(0x1000))
        with pytest.raises(OSError, match="Bad address"):
            scene.stop()


def test_leaving_ends_the_writer_and_gives_the_switch_interval_back() -> None:
    before, threads = sys.getswitchinterval(), threading.active_count()
    with pytest.raises(KeyboardInterrupt), EngineRaceTarget().open(Resize()) as scene:  # noqa: PT012
        assert sys.getswitchinterval() < before
        scene.start(Resize().site(scene.region))
        raise KeyboardInterrupt
    assert sys.getswitchinterval() == before
    assert threading.active_count() == threads
