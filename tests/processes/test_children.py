"""Children of a live run: placed, talked to, and never left behind."""

import gc
import os
import signal
import subprocess
import sys

import pytest

from tests.helpers.processes import is_alive
from tests.helpers.tasks import wait_until
from untorn.bench.live_scanner import be_busy, read_maps
from untorn.errors import OutOfReachError
from untorn.processes.children import START_TIMEOUT, Child, Children, await_ready

pytestmark = pytest.mark.live
CPU = max(os.sched_getaffinity(0))


def test_a_child_is_on_its_cpu_at_its_priority_from_the_start() -> None:
    with Children() as children:
        child = children.add(be_busy, CPU, 15, busyduration_ns=1000)
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == 15
        assert os.sched_getaffinity(child.pid) == {CPU}


def test_leaving_the_context_ends_every_child_even_by_an_exception() -> None:
    pids = []
    with pytest.raises(KeyboardInterrupt), Children() as children:  # noqa: PT012
        for _ in range(2):
            pids.append(children.add(be_busy, CPU, 15, busyduration_ns=1000).pid)
        raise KeyboardInterrupt
    assert not any(map(is_alive, pids))


def test_a_child_stops_when_asked_to() -> None:
    with Children() as children:
        child = children.add(be_busy, CPU, 15, busyduration_ns=1000)
        await_ready([child])
        child.start()
        child.stop()
        wait_until(lambda: not is_alive(child.pid), "a stopped child ends")


def test_a_childs_error_is_out_of_reach_with_its_reason() -> None:
    with Children() as children:
        child = children.add(read_maps, CPU, 15, pid=2**22 + 1, reader="maps")
        with pytest.raises(OutOfReachError, match=r"^/proc/4194305/maps: No such file"):
            child.receive(START_TIMEOUT)


def test_a_child_that_ends_without_a_word_is_noticed() -> None:
    with Children() as children:
        child = children.add(gc.freeze, CPU, 15)
        with pytest.raises(OutOfReachError, match=f"child process {child.pid} ended too early"):
            child.receive(START_TIMEOUT)


def test_a_child_that_does_not_answer_is_not_waited_for() -> None:
    with Children() as children:
        child = children.add(be_busy, CPU, 15, busyduration_ns=1000)
        await_ready([child])
        with pytest.raises(TimeoutError, match=str(child.pid)):
            child.receive(0)


def test_a_child_that_may_not_be_placed_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def refuse(pid: int, cpu: int, nice: int) -> None:
        started.append(pid)
        raise OutOfReachError("no")

    monkeypatch.setattr("untorn.processes.children.place", refuse)
    with pytest.raises(OutOfReachError):
        Child(be_busy, CPU, 15, busyduration_ns=1000)
    assert not is_alive(*started)


def test_children_do_not_outlive_a_parent_that_is_killed() -> None:
    code = (
        "import sys; from untorn.processes.children import *\n"
        "from untorn.bench.live_scanner import be_busy\n"
        f"child = Child(be_busy, {CPU}, 15, busyduration_ns=1000)\n"
        "await_ready([child]); child.start(); print(child.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_alive(child), "the child of a killed parent ends")
