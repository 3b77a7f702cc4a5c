"""A run of the checker that is ended from outside."""

import signal
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from untorn.check.checkpoint import Checkpoint
from untorn.check.run import Interrupted, run
from untorn.check.work import Work

WORKS = [Work(f"A/munmap-{number}", "dfs", None, 0) for number in (0, 1)]


class EagerPool:
    """A pool that begins a call whenever somebody waits for another one.

    Attributes:
        begun: The calls that were begun, with their futures.
    """

    returns_when_stopped = True

    def __init__(self) -> None:
        self.begun: dict[Future[Any], Callable[[], Any]] = {}
        self._waiting: dict[Future[Any], Callable[[], Any]] = {}

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._waiting[future] = lambda: function(*arguments)
        if not self.begun:
            self._begin()
        else:
            signal.raise_signal(signal.SIGTERM)
        return future

    def _begin(self) -> None:
        for future in list(self._waiting):
            call = self._waiting.pop(future)
            if future.set_running_or_notify_cancel():
                self.begun[future] = call
                return

    def result(self, future: Future[Any], name: str) -> Any:
        self._begin()
        return self.begun[future]()

    def stop(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_what_waits_is_cancelled_before_what_was_begun_is_waited_for() -> None:
    pool = EagerPool()
    with pytest.raises(Interrupted) as interrupted:
        list(run(Checkpoint(WORKS), pool))

    assert len(pool.begun) == 1
    assert [each.work for each in interrupted.value.unfinished] == WORKS[:1]
