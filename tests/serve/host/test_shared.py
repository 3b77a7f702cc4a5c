"""One look serves all who ask: how old, how late, how many looks there are."""

import errno
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import pytest

from tests.helpers.tasks import PATIENCE, Worker, background, wait_until
from untorn.errors import os_error
from untorn.serve.host import shared
from untorn.serve.host.shared import Late, SharedLooks
from untorn.serve.host.watched import Kind, Watched
from untorn.serve.host.workers import Workers
from untorn.serve.text.text import Text

AT_ONCE = 0.01
"""Seconds of patience with a look that must not end."""


class Named:
    """A process that exists."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def check(self) -> None:
        """It never goes away."""


class Witnessed(SharedLooks):
    """Counts the waiting callers."""

    waits = 0

    def _wait(self, file: shared._File, look: shared._Look) -> Text:
        with self._lock:
            self.waits += 1
        return super()._wait(file, look)


@dataclass
class Scene:
    """Looks that happen when the test says so, with a clock that stands still."""

    max_age: float = 1
    patience: float = PATIENCE
    late: Late = Late.ERROR
    now: float = 1000
    begun: list[tuple[int, Kind]] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    may_begin: threading.Event = field(default_factory=threading.Event)
    fails: Exception | None = None
    size: int = 1

    def __post_init__(self) -> None:
        self.hold.set()
        self.may_begin.set()
        self.process = Named(1)
        self.workers = Workers(8)
        self.looks = Witnessed(
            self.look,
            self.workers,
            self.turn,
            max_age=self.max_age,
            patience=self.patience,
            late=self.late,
            clock=lambda: self.now,
        )

    @contextmanager
    def turn(self) -> Iterator[None]:
        assert self.may_begin.wait(PATIENCE)
        yield

    def look(self, process: Watched, kind: Kind) -> Text:
        self.begun.append((process.pid, kind))
        number, fails = len(self.begun), self.fails
        assert self.hold.wait(PATIENCE)
        if fails:
            raise fails
        return Text([b"%d" % number * self.size])

    def ask(self) -> bytes:
        return bytes(self.looks.text(self.process, Kind.MAPS))

    def asked(self, number: int = 1) -> list[Worker[bytes]]:
        """Return threads that ask, and wait."""
        return [Worker(self.ask) for _ in range(number)]

    def ended(self) -> bool:
        return self.workers.threads == 0

    def begins(self, number: int = 1) -> None:
        wait_until(lambda: len(self.begun) == number, f"look {number}")

    def end(self, workers: list[Worker[bytes]]) -> set[bytes]:
        """Let the looks end; return what the threads got."""
        self.hold.set()
        return {worker.join() for worker in workers}

    def waiting(self, number: int) -> None:
        """Wait until this many callers wait, or have waited."""
        wait_until(lambda: self.looks.waits == number, f"{number} that wait")


@pytest.fixture
def scenes() -> Iterator[Callable[..., Scene]]:
    """Makes scenes, and ends them."""
    made: list[Scene] = []

    def make(**options: object) -> Scene:
        made.append(Scene(**options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for scene in made:
        scene.hold.set()
        scene.may_begin.set()
        scene.looks.close()
        scene.workers.close()
        wait_until(scene.ended, "no thread is left")


Scenes = Callable[..., Scene]


def test_one_look_serves_all_who_ask_meanwhile(scenes: Scenes) -> None:
    scene = scenes()
    scene.hold.clear()
    asked = scene.asked(20)
    scene.waiting(20)
    assert scene.end(asked) == {b"1"}
    assert scene.begun == [(1, Kind.MAPS)]


def test_what_is_young_serves_and_what_is_old_does_not(scenes: Scenes) -> None:
    scene = scenes(max_age=1)
    assert scene.ask() == b"1"
    scene.now += 1
    assert scene.ask() == b"1"
    scene.now += 0.001
    assert scene.ask() == b"2"


def test_an_age_of_0_is_a_look_for_each_question(scenes: Scenes) -> None:
    scene = scenes(max_age=0)
    for number in range(1, 4):
        assert scene.ask() == b"%d" % number
        scene.now += 0.001


def test_the_age_counts_from_where_the_look_began(scenes: Scenes) -> None:
    scene = scenes(max_age=1)
    scene.hold.clear()
    asked = scene.asked()
    scene.begins()
    scene.now += 2
    assert scene.end(asked) == {b"1"}, "a caller from before it began gets it, however long it took"
    assert scene.ask() == b"2"


def test_a_look_that_began_too_long_ago_is_followed_by_one_for_all_others(scenes: Scenes) -> None:
    scene = scenes(max_age=1)
    scene.hold.clear()
    first = scene.asked()
    scene.begins()
    scene.now += 2
    others = scene.asked(10)
    scene.waiting(11)
    assert len(scene.begun) == 1, "there is one look at a time per file"
    scene.hold.set()
    assert {worker.join() for worker in first} == {b"1"}
    assert {worker.join() for worker in others} == {b"2"}
    assert len(scene.begun) == 2


def test_a_look_that_waits_for_its_turn_serves_all_who_ask_meanwhile(scenes: Scenes) -> None:
    scene = scenes(max_age=1)
    scene.may_begin.clear()
    first = scene.asked()
    scene.waiting(1)
    scene.now += 2
    others = scene.asked(5)
    scene.waiting(6)
    scene.may_begin.set()
    assert scene.end([*first, *others]) == {b"1"}
    scene.now += 1
    assert scene.ask() == b"1", "it is as old as its result"


def test_other_files_and_other_processes_have_their_own(scenes: Scenes) -> None:
    scene = scenes()
    other = Named(1)  # another process with the same number
    texts = [
        bytes(scene.looks.text(process, kind))
        for process in (scene.process, other)
        for kind in Kind
    ]
    assert texts == [b"%d" % number for number in range(1, 9)]


def test_at_once_there_is_what_is_young(scenes: Scenes) -> None:
    scene = scenes(max_age=1)
    assert scene.looks.cached(scene.process, Kind.MAPS) is None
    assert scene.begun == []
    scene.ask()
    found = scene.looks.cached(scene.process, Kind.MAPS)
    assert found
    assert bytes(found) == b"1"
    scene.now += 2
    assert scene.looks.cached(scene.process, Kind.MAPS) is None


def late_answer(scene: Scene) -> bytes:
    """Ask for something that will not come in time."""
    scene.hold.clear()
    return scene.ask()


def test_who_waits_in_vain_gets_an_error(scenes: Scenes) -> None:
    scene = scenes(patience=AT_ONCE, late=Late.ERROR)
    with pytest.raises(TimeoutError) as caught:
        late_answer(scene)
    assert caught.value.errno == errno.ETIMEDOUT
    assert scene.looks.late == 1


def test_or_what_was_found_last(scenes: Scenes) -> None:
    scene = scenes(patience=AT_ONCE, late=Late.LAST)
    with pytest.raises(TimeoutError):
        late_answer(scene)
    scene.hold.set()
    wait_until(lambda: scene.looks.cached(scene.process, Kind.MAPS), "the look is over")
    assert scene.ask() == b"1"
    scene.now += 100
    assert late_answer(scene) == b"1"
    assert (scene.looks.late, len(scene.begun)) == (2, 2)


def after_a_late_look(scenes: Scenes) -> Scene:
    """Return a scene in which a look was late for somebody, and has ended."""
    scene = scenes(patience=AT_ONCE, max_age=1)
    with pytest.raises(TimeoutError):
        late_answer(scene)
    scene.hold.set()
    wait_until(lambda: scene.looks.cached(scene.process, Kind.MAPS), "the look is over")
    return scene


def test_a_late_look_serves_the_next_who_asks(scenes: Scenes) -> None:
    scene = after_a_late_look(scenes)
    scene.now += 50
    assert scene.ask() == b"1"
    assert scene.looks.cached(scene.process, Kind.MAPS) is None, "and then it is too old"


def test_a_late_look_serves_nobody_who_asks_much_later(scenes: Scenes) -> None:
    scene = after_a_late_look(scenes)
    scene.now += 121
    assert scene.looks.cached(scene.process, Kind.MAPS) is None


def test_a_look_that_never_ends_takes_one_thread(scenes: Scenes) -> None:
    scene = scenes(patience=AT_ONCE)
    for _ in range(10):
        with pytest.raises(TimeoutError):
            late_answer(scene)
        scene.now += 100
    assert scene.workers.threads == 1
    assert len(scene.begun) == 1
    with pytest.raises(TimeoutError):
        scene.looks.text(Named(2), Kind.MAPS)
    wait_until(lambda: len(scene.begun) == 2, "others are looked at anyway")


def test_all_who_wait_get_the_error_of_the_look_and_it_is_not_kept(scenes: Scenes) -> None:
    scene = scenes()
    scene.fails = os_error(errno.EACCES)
    scene.hold.clear()
    asked = scene.asked(5)
    scene.waiting(5)
    scene.hold.set()
    for worker in asked:
        with pytest.raises(PermissionError):
            worker.join()
    assert scene.looks.failed == 1
    assert not scene.looks._files
    scene.fails = None
    assert scene.ask() == b"2"


def test_what_may_not_be_looked_at_any_more_is_not_served(scenes: Scenes) -> None:
    scene = scenes(late=Late.LAST)
    scene.ask()
    scene.now += 2
    scene.fails = os_error(errno.ESRCH)
    with pytest.raises(ProcessLookupError):
        scene.ask()
    assert scene.looks.size == 0


def test_a_fault_of_the_looker_is_told_and_nobody_waits_for_ever(scenes: Scenes) -> None:
    scene = scenes()
    scene.fails = ValueError("a fault")
    with pytest.raises(ValueError, match="a fault"):
        scene.ask()
    scene.fails = None
    assert scene.ask() == b"2"


def test_what_is_forgotten_is_gone(scenes: Scenes) -> None:
    scene = scenes()
    scene.ask()
    scene.looks.forget(scene.process)
    assert not scene.looks._files
    assert scene.ask() == b"2"


def test_who_waits_when_it_is_forgotten_gets_what_is_found(scenes: Scenes) -> None:
    scene = scenes()
    scene.hold.clear()
    asked = scene.asked()
    scene.waiting(1)
    scene.looks.forget(scene.process)
    assert scene.end(asked) == {b"1"}
    assert not scene.looks._files


def test_what_nobody_asks_for_goes(scenes: Scenes) -> None:
    scene = scenes()
    for pid in range(100):
        scene.looks.text(Named(pid), Kind.MAPS)
    assert scene.looks.size == sum(len(str(number)) for number in range(1, 101))
    scene.now += 1000
    scene.ask()
    assert scene.looks.size == len("101")


def test_texts_take_no_more_memory_than_they_may(
    scenes: Scenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "_MOST_BYTES", 10_000)
    scene = scenes(max_age=100)
    scene.size = 1000
    processes = [Named(pid) for pid in range(9)]
    for process in processes:
        scene.looks.text(process, Kind.MAPS)
        scene.looks.text(process, Kind.SMAPS)
    assert scene.looks.size > 10_000
    scene.now += 2
    scene.looks.text(processes[-1], Kind.SMAPS)
    assert scene.looks.size <= 10_000
    assert scene.looks.cached(processes[-1], Kind.SMAPS)
    assert not scene.looks.cached(processes[0], Kind.MAPS)


def test_what_is_looked_at_stays(scenes: Scenes) -> None:
    scene = scenes(patience=AT_ONCE)
    with pytest.raises(TimeoutError):
        late_answer(scene)
    scene.now += 1000
    with pytest.raises(TimeoutError):
        scene.looks.text(Named(2), Kind.MAPS)
    with pytest.raises(TimeoutError):
        scene.ask()
    assert scene.begun == [(1, Kind.MAPS), (2, Kind.MAPS)], "no second look at what is stuck"


def test_whatever_threads_do_nothing_served_is_too_old_and_no_two_look_at_one_file() -> None:
    max_age, going = 0.002, dict[int, threading.Lock]()
    processes = [Named(pid) for pid in range(3)]
    for process in processes:
        going[process.pid] = threading.Lock()

    def look(process: Watched, kind: Kind) -> Text:
        assert going[process.pid].acquire(blocking=False), "another look at it goes on"
        try:
            began = time.monotonic()
            time.sleep(0.001 * process.pid)
            return Text([repr(began).encode()])
        finally:
            going[process.pid].release()

    def ask(number: int) -> None:
        chance = random.Random(number)
        for _ in range(50):
            asked = time.monotonic()
            text = looks.text(chance.choice(processes), Kind.MAPS)
            assert float(bytes(text)) >= asked - max_age

    workers = Workers(8)
    looks = SharedLooks(look, workers, max_age=max_age, patience=PATIENCE, late=Late.ERROR)
    with background(*[partial(ask, number) for number in range(8)]):
        pass
    looks.close()
    workers.close()
    wait_until(lambda: workers.threads == 0, "no thread is left")


def test_closed_nobody_waits_and_nobody_is_served(scenes: Scenes) -> None:
    scene = scenes()
    scene.hold.clear()
    asked = scene.asked(3)
    scene.waiting(3)
    scene.looks.close()
    for worker in asked:
        with pytest.raises(OSError, match="shutdown"):
            worker.join()
    with pytest.raises(OSError, match="shutdown"):
        scene.ask()


def test_without_a_thread_the_error_is_told(
    scenes: Scenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = scenes()

    def refuse(job: object) -> None:
        raise os_error(errno.EAGAIN)

    with monkeypatch.context() as patch:
        patch.setattr(scene.workers, "begin", refuse)
        with pytest.raises(BlockingIOError):
            scene.ask()
    assert scene.ask() == b"1"
