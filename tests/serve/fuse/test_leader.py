import queue
import signal
import threading
from collections.abc import Callable, Iterable
from functools import partial

from untorn.serve.fuse.leader import Leadership

Job = Callable[[], object]


class Served:
    """Jobs that are received like requests; None for the end."""

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.stuck: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.leadership: Leadership[list[Job], str] = Leadership(self)
        self._thread = threading.Thread(target=self.leadership.serve)
        self._thread.start()

    def make_room(self) -> list[Job]:
        return []

    def answer(self, room: list[Job]) -> None:
        room.pop()()

    def on_stuck(self, work: str) -> None:
        self.stuck.put(work)

    def receive(self, room: list[Job]) -> bool:
        job = self.jobs.get()
        if job:
            room.append(job)
        return job is not None

    def done_by(self, job: Job = lambda: None) -> threading.Thread:
        """Return the thread that did a job."""
        done: queue.SimpleQueue[threading.Thread] = queue.SimpleQueue()

        def do() -> None:
            job()
            done.put(threading.current_thread())

        self.jobs.put(do)
        return done.get(timeout=60)

    def end(self) -> None:
        self.jobs.put(None)
        self._thread.join(60)
        assert not self._thread.is_alive()
        assert self.leadership.wait_for_all(60)


def test_one_thread_serves_whatever_is_quick() -> None:
    served = Served()
    assert len({served.done_by() for _ in range(100)}) == 1
    served.end()


def test_another_thread_leads_while_one_has_stepped_aside() -> None:
    served, go_on, stepped = Served(), threading.Event(), threading.Event()

    def wait() -> None:
        assert served.leadership.step_aside()
        assert served.leadership.step_aside()  # a second call does nothing
        stepped.set()
        go_on.wait(60)

    slow = threading.Thread(target=served.done_by, args=(wait,))
    slow.start()
    assert stepped.wait(60)
    threads = {served.done_by() for _ in range(10)}
    assert slow.is_alive()
    go_on.set()
    slow.join(60)
    assert len(threads) == 1
    served.end()


def test_a_leader_that_is_stuck_is_replaced() -> None:
    served, go_on, stuck = Served(), threading.Event(), threading.Event()

    def stick() -> None:
        assert served.leadership.works_on("its work", 1)
        stuck.set()
        go_on.wait(60)

    slow = threading.Thread(target=served.done_by, args=(stick,))
    slow.start()
    assert stuck.wait(60)
    served.done_by()  # in another thread, or this would wait for ever
    assert served.stuck.get(timeout=60) == "its work"
    assert slow.is_alive()
    go_on.set()
    slow.join(60)
    served.end()


def test_a_leader_that_is_replaced_before_it_says_on_what_it_works_is_not_lost() -> None:
    served, replaced, go_on = Served(), threading.Event(), threading.Event()
    begun = threading.Event()

    def first() -> None:
        begun.set()
        replaced.wait(60)
        assert served.leadership.works_on("the first's", 1)
        go_on.wait(60)

    def second() -> None:
        assert begun.is_set()
        assert served.leadership.works_on("the second's", 2)
        replaced.set()
        go_on.wait(60)

    threads = [threading.Thread(target=served.done_by, args=(job,)) for job in (first, second)]
    for thread in threads:
        thread.start()
        assert begun.wait(60)
    assert {served.stuck.get(timeout=60) for _ in range(2)} == {"the first's", "the second's"}
    go_on.set()
    for thread in threads:
        thread.join(60)
    served.end()


def test_who_comes_back_leads_again_when_the_others_are_busy() -> None:
    served = Served()

    def step() -> None:
        assert served.leadership.step_aside()

    threads = {served.done_by(step) for _ in range(50)}
    assert len(threads) < 50  # they are reused
    served.end()


def test_a_thread_that_is_busy_at_the_end_is_waited_for() -> None:
    served, go_on, stepped = Served(), threading.Event(), threading.Event()

    def wait() -> None:
        served.leadership.step_aside()
        stepped.set()
        go_on.wait(60)

    slow = threading.Thread(target=served.done_by, args=(wait,))
    slow.start()
    assert stepped.wait(60)
    served.jobs.put(None)
    assert not served.leadership.wait_for_all(0.01)
    go_on.set()
    assert served.leadership.wait_for_all(60)
    slow.join(60)


class Flood:
    """Jobs that wait, each for a user, and those that were refused."""

    def __init__(self, users: Iterable[int]) -> None:
        self.served, self.go_on = Served(), threading.Event()
        self.refused: queue.SimpleQueue[int] = queue.SimpleQueue()
        for user in users:
            self.served.jobs.put(partial(self._wait_for, user))

    def _wait_for(self, user: int) -> None:
        if self.served.leadership.works_on("work", user):
            self.served.leadership.step_aside()
            self.go_on.wait(60)
        else:
            self.refused.put(user)

    def end(self) -> None:
        self.go_on.set()
        self.served.end()


def test_one_user_does_not_keep_others_from_being_served() -> None:
    flood = Flood([1] * 200)
    for _ in range(200 - 96):
        assert flood.refused.get(timeout=60) == 1
    may: list[bool] = []
    flood.served.done_by(lambda: may.append(flood.served.leadership.works_on("work", 2)))
    assert may == [True]
    flood.end()


def test_what_many_wait_for_leaves_threads_for_those_who_do_not_wait() -> None:
    flood = Flood(range(300))
    assert [flood.refused.get(timeout=60) for _ in range(300 - 224)] == list(range(224, 300))
    flood.served.done_by()
    flood.end()


class Signalled:
    """A server that waits until the handler of a signal has run, which its own thread took."""

    def __init__(self) -> None:
        self.handled = threading.Event()
        self.in_time = False

    def make_room(self) -> None:
        pass

    def answer(self, room: None) -> None:
        pass

    def on_stuck(self, work: None) -> None:
        pass

    def receive(self, room: None) -> bool:
        signal.raise_signal(signal.SIGUSR1)
        self.in_time = self.handled.wait(60)
        return False


def test_a_signal_that_does_not_end_the_main_thread_s_wait_is_noticed() -> None:
    server = Signalled()
    before = signal.signal(signal.SIGUSR1, lambda number, frame: server.handled.set())
    try:
        Leadership[None, None](server).serve()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert server.in_time
