"""CPUs and priorities of tasks."""

import os
import subprocess
import threading
from collections.abc import Iterator

import pytest

from untorn.errors import OutOfReachError
from untorn.processes.placement import place, set_nice


@pytest.fixture
def sleeper() -> Iterator[int]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process.pid
        process.kill()


@pytest.mark.live
def test_a_process_is_pinned_and_made_to_yield(sleeper: int) -> None:
    cpu = max(os.sched_getaffinity(0))
    place(sleeper, cpu, 15)
    assert os.sched_getaffinity(sleeper) == {cpu}
    assert os.getpriority(os.PRIO_PROCESS, sleeper) == 15


@pytest.mark.live
def test_placing_a_thread_leaves_the_others_where_they_are() -> None:
    cpu, before = max(os.sched_getaffinity(0)), os.sched_getaffinity(0)
    placed: list[tuple[set[int], int]] = []

    def task() -> None:
        tid = threading.get_native_id()
        place(tid, cpu, 15)
        placed.append((os.sched_getaffinity(tid), os.getpriority(os.PRIO_PROCESS, tid)))

    thread = threading.Thread(target=task)
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    thread.start()
    thread.join()
    assert placed == [({cpu}, 15)]
    assert os.sched_getaffinity(0) == before
    assert os.getpriority(os.PRIO_PROCESS, 0) == nice


def test_no_right_to_a_priority_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(which: int, who: int, nice: int) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "setpriority", refuse)
    monkeypatch.setattr(os, "getpriority", lambda which, who: 19)
    with pytest.raises(OutOfReachError, match=r"nice 0, because it is at nice 19"):
        set_nice(1234, 0)


def test_no_right_to_a_cpu_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(tid: int, cpus: set[int]) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    with pytest.raises(OutOfReachError, match="CPU 1"):
        place(1234, 1, 0)
