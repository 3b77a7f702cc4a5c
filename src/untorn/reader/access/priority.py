"""Raise a thread's priority for one call, and restore it right after that.

A C function calls three C functions in a row: raise, the call, restore. Python runs signal handlers
between bytecodes, so no handler can run between raise and restore: neither to raise an exception
there, nor at a priority that was meant for one system call.
Priorities belong to the calling thread alone. Source: sched(7).
"""

import os
import resource
from collections.abc import Callable
from functools import partial
from operator import call
from typing import NamedTuple, TypeVar, cast

T = TypeVar("T")
Step = Callable[[], object]
_ORDINARY, _LOWEST_FIFO = os.sched_param(0), os.sched_param(1)
_RESET = os.SCHED_RESET_ON_FORK
_SCHED_DEADLINE = 6  # Source: include/uapi/linux/sched.h, which Python's os lacks
_REAL_TIME = {os.SCHED_FIFO, os.SCHED_RR, _SCHED_DEADLINE}
_LOWEST_NICE = -20


class NotRaisedWarning(RuntimeWarning):
    """The thread may not raise its priority."""


class Steps(NamedTuple):
    """How to raise and restore the calling thread; each step is one C function."""

    raise_: Step
    give_back: Step
    give_back_marked: Step
    """A step that is never refused, even if a full restore may be: see _to_fifo()."""


class Raise(NamedTuple):
    """One way to raise a thread."""

    name: str
    prepare: Callable[[], Steps | None]
    """Returns the steps for the calling thread; None if it has as high a priority already."""


def find_raise() -> Raise | None:
    """Return the best raise that the calling thread may make, None if it may make none."""
    if may(FIFO):
        return FIFO
    nice = lowest_nice()
    return to_nice(nice) if nice < os.getpriority(os.PRIO_PROCESS, 0) else None


def lowest_nice() -> int:
    """Return the lowest nice value that the calling thread may have, at most its present one."""
    now = os.getpriority(os.PRIO_PROCESS, 0)
    limit, _ = resource.getrlimit(resource.RLIMIT_NICE)
    candidates = (_LOWEST_NICE, max(_LOWEST_NICE, 20 - limit))
    return next((nice for nice in candidates if nice < now and may(to_nice(nice))), now)


def to_nice(nice: int) -> Raise:
    """Return the raise to a nice value."""
    return Raise(f"nice {nice}", partial(_to_nice, nice))


def may(way: Raise) -> bool:
    """Return whether the calling thread may be raised so, or is as high already, by trying."""
    try:
        change = way.prepare()
        if change:
            call_raised(change, int)
    except (OSError, NotRaisedWarning):
        return False
    return True


def call_raised(change: Steps, function: Callable[[], T]) -> T:
    """Call a C function at a raised priority of the calling thread.

    Raises:
        NotRaisedWarning: The thread may not be raised; the function was not called.
        OSError: What the function raises.
    """
    results: list[object] = []  # keeps what came before an exception
    try:
        results.extend(map(call, (change.raise_, function, change.give_back)))
    except BaseException as error:
        # Python checks for signals after a call, never before one: give_back() is always called.
        try:
            change.give_back()
        except PermissionError:
            change.give_back_marked()
        refused = isinstance(error, PermissionError)
        if refused and not results:
            raise NotRaisedWarning from error
        if not refused or len(results) == 1:
            raise
    return cast(T, results[1])


def _to_fifo() -> Steps | None:
    """Prepare SCHED_FIFO with a flag so that a child that is forked meanwhile does not get it.

    Without CAP_SYS_NICE the flag cannot be removed again. It then stays on the thread, where its
    only effect is that children of a thread with a negative nice value start at 0.
    """
    policy = os.sched_getscheduler(0)
    if policy & ~_RESET in _REAL_TIME:
        return None
    change_to = partial(os.sched_setscheduler, 0)
    return Steps(
        partial(change_to, os.SCHED_FIFO | _RESET, _LOWEST_FIFO),
        partial(change_to, policy, _ORDINARY),
        partial(change_to, policy | _RESET, _ORDINARY),
    )


def _to_nice(nice: int) -> Steps | None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    if nice >= before:
        return None
    change_to = partial(os.setpriority, os.PRIO_PROCESS, 0)
    give_back = partial(change_to, before)
    return Steps(partial(change_to, nice), give_back, give_back)


FIFO = Raise("SCHED_FIFO 1", _to_fifo)
"""Above every ordinary thread, below every other real-time thread."""
