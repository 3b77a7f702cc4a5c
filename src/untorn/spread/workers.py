"""Workers: processes of this machine, one per CPU, that ignore Ctrl-C and end with their parent."""

from __future__ import annotations

import os
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from signal import SIG_BLOCK, SIG_SETMASK, SIGINT, pthread_sigmask
from typing import Any, TypeVar

from untorn.errors import OutOfReachError
from untorn.processes import told
from untorn.processes.child import end_with_parent

T = TypeVar("T")


class Workers(ProcessPoolExecutor):
    """Processes that never see Ctrl-C, because they inherit a mask that blocks it. See Pool."""

    returns_when_stopped = True

    def __init__(self) -> None:
        context = get_context("spawn")
        self._told = context.Event()
        cpus = len(os.sched_getaffinity(0))
        super().__init__(cpus, context, _begin, (self._told, os.getpid()))

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit a call; may start a process."""
        before = pthread_sigmask(SIG_BLOCK, {SIGINT})
        try:
            return super().submit(*args, **kwargs)
        finally:
            pthread_sigmask(SIG_SETMASK, before)

    def result(self, future: Future[T], name: str) -> T:
        """See Pool. A process that dies takes all calls with it, so the message names none."""
        try:
            return future.result()
        except BrokenExecutor as error:
            raise OutOfReachError("a worker was killed: out of memory?") from error

    def stop(self) -> None:
        """Ask the workers to return; calls under way come back early with what they have."""
        self._told.set()

    def close(self) -> None:
        """End the workers."""
        self.stop()
        self.shutdown(wait=True, cancel_futures=True)


def _begin(stop: Event, parent: int) -> None:
    told.tell_by(stop.is_set)
    end_with_parent(parent)
