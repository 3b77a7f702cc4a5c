"""Helpers for tests with tasks that block: they wait for conditions, not for fixed times."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import pytest

from untorn.locking import lockdep, sync

PATIENCE = 60.0
T = TypeVar("T")


def wait_until(
    holds: Callable[[], object], what: str = "a condition", patience: float = PATIENCE
) -> None:
    """Return when holds() is true; if that takes too long, fail instead of hanging."""
    deadline, pause = time.monotonic() + patience, 0.0005
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(pause)
        pause = min(2 * pause, 0.01)


class Worker(Generic[T]):
    """A thread that runs one function and keeps its outcome.

    Attributes:
        task: The thread, as code that wakes or kills it refers to it.
    """

    task: sync.Task

    def __init__(self, work: Callable[[], T], name: str = "worker") -> None:
        self.error: BaseException | None = None
        self._started = threading.Event()
        self._work = work
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._started.wait()

    def _run(self) -> None:
        self.task = sync.current()
        self._started.set()
        try:
            self.result = self._work()
            lockdep.assert_nothing_held()
        except BaseException as error:
            self.error = error

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def join(self) -> T:
        self._thread.join(PATIENCE)
        assert self.done, f"{self._thread.name} did not end"
        if self.error is not None:
            raise self.error
        return self.result


@contextmanager
def ctrl_c_ends_waits() -> Iterator[None]:
    """Let KeyboardInterrupt end each wait of a task that would have to sleep."""

    def wait_until(task: sync.Task, holds: Callable[[], bool], *, killable: bool = False) -> bool:
        if holds():
            return True
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sync.Task, "wait_until", wait_until)
        yield


@contextmanager
def background(*work: Callable[[], object]) -> Iterator[list[Worker[object]]]:
    """Run each function in its own thread; join all at the end."""
    workers = [Worker(each, f"worker-{number}") for number, each in enumerate(work)]
    yield workers
    for worker in workers:
        worker.join()
