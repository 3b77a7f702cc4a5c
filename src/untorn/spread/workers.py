"""Workers: processes of this machine, one for each CPU, deaf to Ctrl-C, outliving nobody."""

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
    """Processes that never see Ctrl-C: they inherit that it is blocked. See Pool."""

    returns_when_stopped = True

    def __init__(self) -> None:
        context = get_context("spawn")
        self._told = context.Event()
        cpus = len(os.sched_getaffinity(0))
        super().__init__(cpus, context, _begin, (self._told, os.getpid()))

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand a call out; may start a process."""
        before = pthread_sigmask(SIG_BLOCK, {SIGINT})
        try:
            return super().submit(*args, **kwargs)
        finally:
            pthread_sigmask(SIG_SETMASK, before)

    def result(self, future: Future[T], name: str) -> T:
        """See Pool; one that died took all calls with it, so none is named."""
        try:
            return future.result()
        except BrokenExecutor as error:
            raise OutOfReachError("a worker was killed: out of memory?") from error

    def stop(self) -> None:
        """Tell them to return what they have; what is being done is then unfinished, not lost."""
        self._told.set()

    def close(self) -> None:
        """End them."""
        self.stop()
        self.shutdown(wait=True, cancel_futures=True)


def _begin(stop: Event, parent: int) -> None:
    told.tell_by(stop.is_set)
    end_with_parent(parent)
