"""Threads that look: as many as needed, none for long without work."""

import _thread
import errno
import threading
from functools import partial

import pytest

from tests.helpers.tasks import PATIENCE, wait_until
from untorn.serve.host import workers as module
from untorn.serve.host.workers import Workers


def test_jobs_are_done_while_others_are_stuck() -> None:
    workers, stuck, done = Workers(3), threading.Event(), threading.Event()
    for _ in range(2):
        workers.begin(lambda: stuck.wait(PATIENCE))
    workers.begin(done.set)
    assert done.wait(PATIENCE)
    stuck.set()


def test_there_are_no_more_threads_than_may_be_and_the_rest_waits_its_turn() -> None:
    workers, stuck, order = Workers(2), threading.Event(), list[int]()
    for _ in range(2):
        workers.begin(lambda: stuck.wait(PATIENCE))
    last = threading.Event()
    for number in range(20):
        workers.begin(partial(order.append, number))
    workers.begin(last.set)
    assert workers.threads == 2
    assert order == []
    stuck.set()
    assert last.wait(PATIENCE)
    wait_until(lambda: len(order) == 20, "all jobs done")
    assert workers.threads <= 2


def test_one_thread_does_what_comes_one_after_the_other() -> None:
    workers, threads = Workers(8), set[int]()

    def job() -> None:
        threads.add(threading.get_ident())
        done.set()

    for _ in range(50):
        done = threading.Event()
        workers.begin(job)
        assert done.wait(PATIENCE)
    assert len(threads) <= 2, "one may not yet be free when the next job comes"


def test_without_work_no_thread_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LINGER", 0.01)
    workers, done = Workers(4), threading.Event()
    workers.begin(done.set)
    assert done.wait(PATIENCE)
    wait_until(lambda: workers.threads == 0, "no thread")
    done.clear()
    workers.begin(done.set)
    assert done.wait(PATIENCE)


def test_a_thread_that_cannot_be_had_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise RuntimeError("can't start new thread")

    workers = Workers(4)
    with monkeypatch.context() as patch:
        patch.setattr(_thread, "start_new_thread", refuse)
        with pytest.raises(BlockingIOError) as caught:
            workers.begin(lambda: None)
    assert caught.value.errno == errno.EAGAIN
    done = threading.Event()
    workers.begin(done.set)
    assert done.wait(PATIENCE)


def test_closed_it_ends_its_threads_and_begins_nothing() -> None:
    workers, done = Workers(4), threading.Event()
    workers.begin(done.set)
    assert done.wait(PATIENCE)
    workers.close()
    wait_until(lambda: workers.threads == 0, "no thread")
    with pytest.raises(OSError, match="shutdown") as caught:
        workers.begin(done.set)
    assert caught.value.errno == errno.ESHUTDOWN
