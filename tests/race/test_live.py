"""Target live: a scenario runs in a child, and we watch it from here."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.helpers.engine import read_all
from tests.helpers.processes import children_of, is_alive
from tests.helpers.tasks import wait_until
from untorn.errors import OutOfReachError
from untorn.judge.lines import parse_lines
from untorn.maps.entry import MapsEntry
from untorn.maps.page import PAGE_SIZE
from untorn.race.live import LiveRaceTarget, LiveScene
from untorn.race.scenario import Site
from untorn.race.tearing import SIZE, Resize

pytestmark = pytest.mark.live
NOWHERE = Site(PAGE_SIZE)
ROUNDS = 20


@pytest.fixture
def scene() -> Iterator[LiveScene]:
    with LiveRaceTarget().open(Resize()) as scene:
        yield scene


def lines_at(scene: LiveScene, site: Site) -> list[MapsEntry]:
    """Return the lines of the pages that a round changes, from a freshly opened file."""
    file = scene.open_file("maps", "kernel")
    lines = parse_lines(read_all(file))
    file.close()
    return [line for line in lines if site.addr <= line.start < site.addr + SIZE]


def pages_at(scene: LiveScene, site: Site) -> int:
    return sum(line.end - line.start for line in lines_at(scene, site)) // PAGE_SIZE


def test_the_child_does_what_it_is_told_and_nothing_else(scene: LiveScene) -> None:
    site = Resize().site(scene.region)
    before = lines_at(scene, site)
    assert pages_at(scene, site) == 3
    scene.modify(site)
    assert pages_at(scene, site) == 1
    scene.restore(site)
    assert lines_at(scene, site) == before
    assert scene.rounds == 0


def test_rounds_are_made_from_start_to_stop_and_each_is_whole(scene: LiveScene) -> None:
    site = Resize().site(scene.region)

    def start_and_stop() -> None:
        before = scene.rounds
        scene.start(site)
        wait_until(lambda: scene.rounds >= before + ROUNDS, "rounds are made")
        scene.stop()
        made = scene.rounds
        assert pages_at(scene, site) == 3
        assert scene.rounds == made

    start_and_stop()
    start_and_stop()


def test_an_error_of_the_scenario_is_raised_with_its_errno(scene: LiveScene) -> None:
    with pytest.raises(OSError, match="Bad address") as caught:
        scene.modify(NOWHERE)
    assert caught.value.errno == errno.EFAULT
    scene.start(NOWHERE)
    with pytest.raises(OSError, match="Bad address"):
        scene.stop()
    scene.modify(Resize().site(scene.region))  # it works even so


def test_the_reader_is_disturbed_from_start_to_stop_if_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[str] = []

    @contextmanager
    def noted() -> Iterator[None]:
        events.append("begin")
        yield
        events.append("end")

    monkeypatch.setattr("untorn.race.live.disturbed", noted)
    for disturb, expected in (False, []), (True, ["begin", "end"]):
        with LiveRaceTarget().open(Resize(), disturb=disturb) as scene:
            site = Resize().site(scene.region)
            scene.modify(site)
            scene.restore(site)
            assert events == []
            scene.start(site)
            assert events == expected[:1]
            scene.stop()
            assert events == expected


def test_leaving_ends_the_child_and_gives_the_cpus_back() -> None:
    cpus, children = os.sched_getaffinity(0), children_of(os.getpid())
    with pytest.raises(KeyboardInterrupt), LiveRaceTarget().open(Resize()) as scene:  # noqa: PT012
        scene.start(Resize().site(scene.region))
        (child,) = children_of(os.getpid()) - children
        raise KeyboardInterrupt
    assert not is_alive(child)
    assert os.sched_getaffinity(0) == cpus


def test_a_child_that_was_ended_by_somebody_else_is_noticed(scene: LiveScene) -> None:
    (child,) = children_of(os.getpid())
    scene.start(Resize().site(scene.region))
    os.kill(child, signal.SIGKILL)
    with pytest.raises(OutOfReachError, match=f"child process {child} ended too early"):
        scene.stop()
    with pytest.raises(OutOfReachError, match=f"child process {child} ended too early"):
        scene.modify(Resize().site(scene.region))


def test_the_child_ends_in_mid_loop_with_a_parent_that_is_killed() -> None:
    code = """
import os, sys
from untorn.race.live import LiveRaceTarget
from untorn.race.tearing import Resize
with LiveRaceTarget().open(Resize()) as scene:
    scene.start(Resize().site(scene.region))
    print(scene.open_file("maps", "kernel").read(8), flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout
        assert parent.stdout.readline()
        (child,) = children_of(parent.pid)
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_alive(child), "the child of a killed parent ends")
