"""A host as its clients see it: live processes, and one that is stuck."""

import errno
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.helpers.commanded import Commanded
from tests.helpers.tasks import PATIENCE, Worker, wait_until
from tests.helpers.watched import Known
from untorn.serve.host.host import Host
from untorn.serve.host.shared import Late
from untorn.serve.host.watched import Kind

pytestmark = pytest.mark.live
AT_ONCE = 0.05
"""Seconds of patience with a look that does not come."""


@pytest.fixture
def child() -> Iterator[Commanded]:
    with Commanded() as child:
        yield child


def test_many_who_ask_are_served_by_one_look(child: Commanded) -> None:
    with closing(Host(max_age=PATIENCE)) as host:
        process = Known.now(child.pid)
        asked = [Worker(lambda: host.text(process, Kind.MAPS)) for _ in range(20)]
        found = {bytes(worker.join()) for worker in asked}
        assert found == {child.maps()}
        assert host.costs.spent.looks == 1
        again = host.cached(process, Kind.MAPS)
        assert again
        assert bytes(again) == child.maps()
        host.forget(process)
        assert host.cached(process, Kind.MAPS) is None


def test_a_change_is_seen_when_the_text_is_too_old(child: Commanded) -> None:
    with closing(Host(max_age=0)) as host:
        process = Known.now(child.pid)
        for _ in range(3):
            assert bytes(host.text(process, Kind.MAPS)) == child.maps()
            child.place(3)
            child.do("put(at, 3)")
        assert host.costs.spent.looks == 3
        assert host.costs.spent.seconds > 0


def test_a_process_that_ended_is_told_by_the_next_look(child: Commanded) -> None:
    with closing(Host(max_age=0)) as host:
        process = Known.now(child.pid)
        host.text(process, Kind.SMAPS_ROLLUP)
        child.reap()
        with pytest.raises(ProcessLookupError):
            host.text(process, Kind.SMAPS_ROLLUP)
        assert host.costs.failed == 1


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator[str]:
    """A /proc whose only process blocks every reader of its smaps_rollup."""
    place = tmp_path / "42"
    place.mkdir()
    (tmp_path / "self").mkdir()
    (place / "status").write_text("Name:\tstuck\nVmSize:\t 1 kB\nVmRSS:\t 1 kB\n")
    os.mkfifo(place / "smaps_rollup")
    yield str(tmp_path)
    os.close(os.open(place / "smaps_rollup", os.O_RDWR | os.O_NONBLOCK))  # release the waiter


@pytest.mark.parametrize("late", Late)
def test_a_process_that_is_stuck_takes_one_thread_and_nobodys_time(stuck: str, late: Late) -> None:
    with closing(Host(proc=stuck, patience=AT_ONCE, late=late)) as host:
        for _ in range(5):
            with pytest.raises(TimeoutError) as caught:
                host.text(Known(42, 0), Kind.SMAPS_ROLLUP)
            assert caught.value.errno == errno.ETIMEDOUT
        assert host.costs.late == 5
        assert host._workers.threads == 1


def test_closed_it_looks_no_more(stuck: str) -> None:
    host = Host(proc=stuck, patience=PATIENCE)
    waiting = Worker(lambda: host.text(Known(42, 0), Kind.SMAPS_ROLLUP))
    wait_until(lambda: host._workers.threads == 1, "a look")
    host.close()
    with pytest.raises(OSError, match="shutdown"):
        waiting.join()
    with pytest.raises(OSError, match="shutdown"):
        host.text(Known(42, 0), Kind.MAPS)


@pytest.mark.parametrize("options", [{"patience": 0}, {"max_hold": -1}, {"max_age": -1}])
def test_times_that_are_none_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        Host(**options)  # type: ignore[arg-type]
