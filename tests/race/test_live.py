"""Target live: a scenario made to happen in a child, watched from here."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.helpers.engine import read_all
from tests.helpers.processes import children_of, is_alive, wait_until
from untorn.errors import OutOfReachError
from untorn.judge.line import Line, parse_maps
from untorn.maps.page import PAGE_SIZE
from untorn.race.live import LiveRun, LiveTarget
from untorn.race.scenario import Place
from untorn.race.tearing import SIZE, Resize

pytestmark = pytest.mark.live
NOWHERE = Place(PAGE_SIZE)
ROUNDS = 20


@pytest.fixture
def run() -> Iterator[LiveRun]:
    with LiveTarget().open(Resize()) as run:
        yield run


def lines_at(run: LiveRun, place: Place) -> list[Line]:
    """Return the lines of the pages that a round changes, by a file opened for it."""
    file = run.open_file("maps", "kernel")
    lines = parse_maps(read_all(file))
    file.close()
    return [line for line in lines if place.addr <= line.start < place.addr + SIZE]


def pages_at(run: LiveRun, place: Place) -> int:
    return sum(line.end - line.start for line in lines_at(run, place)) // PAGE_SIZE


def test_the_child_does_what_it_is_told_and_nothing_else(run: LiveRun) -> None:
    place = Resize().place(run.region)
    before = lines_at(run, place)
    assert pages_at(run, place) == 3
    run.modify(place)
    assert pages_at(run, place) == 1
    run.restore(place)
    assert lines_at(run, place) == before
    assert run.rounds == 0


def test_rounds_are_made_from_start_to_stop_and_each_is_whole(run: LiveRun) -> None:
    place = Resize().place(run.region)
    for _ in range(2):
        before = run.rounds
        run.start(place)
        wait_until(lambda before=before: run.rounds >= before + ROUNDS, "rounds are made")
        run.stop()
        made = run.rounds
        assert pages_at(run, place) == 3
        assert run.rounds == made


def test_an_error_of_the_scenario_is_raised_with_its_errno(run: LiveRun) -> None:
    with pytest.raises(OSError, match="Bad address") as caught:
        run.modify(NOWHERE)
    assert caught.value.errno == errno.EFAULT
    run.start(NOWHERE)
    with pytest.raises(OSError, match="Bad address"):
        run.stop()
    run.modify(Resize().place(run.region))  # it goes on all the same


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
        with LiveTarget().open(Resize(), disturb=disturb) as run:
            place = Resize().place(run.region)
            run.modify(place)
            run.restore(place)
            assert events == []
            run.start(place)
            assert events == expected[:1]
            run.stop()
            assert events == expected


def test_leaving_ends_the_child_and_gives_the_cpus_back() -> None:
    cpus, children = os.sched_getaffinity(0), children_of(os.getpid())
    with pytest.raises(KeyboardInterrupt), LiveTarget().open(Resize()) as run:  # noqa: PT012
        run.start(Resize().place(run.region))
        (child,) = children_of(os.getpid()) - children
        raise KeyboardInterrupt
    assert not is_alive(child)
    assert os.sched_getaffinity(0) == cpus


def test_a_child_that_was_ended_by_somebody_else_is_noticed(run: LiveRun) -> None:
    (child,) = children_of(os.getpid())
    run.start(Resize().place(run.region))
    os.kill(child, signal.SIGKILL)
    with pytest.raises(OutOfReachError, match=f"child process {child} ended before its time"):
        run.stop()
    with pytest.raises(OutOfReachError, match=f"child process {child} ended before its time"):
        run.modify(Resize().place(run.region))


def test_the_child_ends_in_mid_loop_with_a_parent_that_is_killed() -> None:
    code = """
import os, sys
from untorn.race.live import LiveTarget
from untorn.race.tearing import Resize
with LiveTarget().open(Resize()) as run:
    run.start(Resize().place(run.region))
    print(run.open_file("maps", "kernel").read(8), flush=True)
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
