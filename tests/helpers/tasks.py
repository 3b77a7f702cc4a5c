"""Helpers for tests with tasks that block: no fixed times, only conditions."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from untorn.locking import lockdep, sync

PATIENCE = 60.0


def await_(holds: Callable[[], bool], what: str = "a condition") -> None:
    """Return when holds() is true; a test that hangs fails after a long time instead."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.0005)


class Worker:
    """A thread that runs one function and keeps its outcome."""

    def __init__(self, work: Callable[[], object], name: str = "worker") -> None:
        self.result: object = None
        self.error: BaseException | None = None
        self.task: sync.Task | None = None
        self._work = work
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        await_(lambda: self.task is not None)

    def _run(self) -> None:
        self.task = sync.current()
        try:
            self.result = self._work()
            lockdep.assert_nothing_held()
        except BaseException as error:
            self.error = error

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def join(self) -> object:
        self._thread.join(PATIENCE)
        assert self.done, f"{self._thread.name} did not end"
        if self.error is not None:
            raise self.error
        return self.result


@contextmanager
def ctrl_c_ends_waits() -> Iterator[None]:
    """Let KeyboardInterrupt end every wait of a task that would have to sleep."""

    def wait_until(task: sync.Task, holds: Callable[[], bool], *, killable: bool = False) -> bool:
        if holds():
            return True
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sync.Task, "wait_until", wait_until)
        yield


@contextmanager
def background(*work: Callable[[], object]) -> Iterator[list[Worker]]:
    """Run each function in a thread of its own; join all at the end."""
    workers = [Worker(each, f"worker-{number}") for number, each in enumerate(work)]
    yield workers
    for worker in workers:
        worker.join()
