"""Processes that explore: one for each CPU, deaf to Ctrl-C, told to stop, outliving nobody."""

from __future__ import annotations

import os
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from signal import SIG_BLOCK, SIG_SETMASK, SIGINT, pthread_sigmask
from typing import Any

from untorn.check.explore import Exploration
from untorn.check.strategies.branch import Branch
from untorn.check.work import Work, WorkPart, do, do_branch, do_first
from untorn.processes.child import end_with_parent

_told: Event | None = None
"""In a worker: set when it is to come to an end, be it in the middle of a scenario."""
_CHECK_EVERY = 64
"""Schedules between two looks at that."""


class Workers(ProcessPoolExecutor):
    """Processes that never see Ctrl-C: they inherit that it is blocked."""

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

    def stop(self) -> None:
        """Tell them to return what they have; what is being done is then unfinished, not lost."""
        self._told.set()


def _begin(told: Event, parent: int) -> None:
    global _told
    _told = told
    end_with_parent(parent)


def whole(work: Work) -> WorkPart:
    """Do all of a work."""
    return WorkPart(do(work, _stop))


def first(work: Work) -> WorkPart:
    """Do the first schedule of a work."""
    return do_first(work, _stop)


def branch(work: Work, at: Branch) -> WorkPart:
    """Do what leaves the first schedule of a work at one point."""
    return do_branch(work, at, _stop)


def _stop(found: Exploration) -> bool:
    return _told is not None and not found.schedules % _CHECK_EVERY and _told.is_set()
