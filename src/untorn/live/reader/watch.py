"""Look at the map of a process again and again, and tell what changed."""

import os
import select
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import NamedTuple

from untorn.live.reader.diff import Change
from untorn.live.reader.idleness import same_pids
from untorn.live.reader.limit import TIMEOUT, within
from untorn.live.reader.live_maps import LiveMaps
from untorn.live.reader.snapshot import Snapshot
from untorn.live.task import start_time

_ATTEMPTS = 3


class Look(NamedTuple):
    """One look at a process."""

    snapshot: Snapshot
    changes: list[Change]
    """Since the look before, in the order of addresses; none the first time."""


def watch(
    pid: int,
    *,
    interval: float = 1.0,
    proc: str = "/proc",
    gentle: bool | None = None,
    timeout: float | None = TIMEOUT,
) -> Iterator[Look]:
    """Yield a look at once, and another one each time the interval is over.

    It ends when the process ends: at once, if it is told so by the kernel, else at the next look.
    If the process changes its program, everything has changed. Of a map that did not change, the
    text is read and compared, no more; of another one, what lies between the first and the last
    change is parsed.

    Args:
        pid: The process, or a thread of it.
        interval: Seconds between looks, from the end of one to the beginning of the next.
        proc: Where procfs is mounted; pid is its number there.
        gentle: As for LiveMaps.
        timeout: Seconds that each look may take; None for as long as the kernel takes.

    Raises:
        OSError: As snapshot() the first time; later EACCES or EPERM, if the process changes to a
            program that may not be read; ETIMEDOUT if a look takes longer than it may.
    """
    with _waiter(pid, proc) as wait:
        born = start_time(pid, proc)
        open_it = partial(LiveMaps, pid, proc=proc, gentle=gentle)
        limited = partial(within, timeout, path=f"{proc}/{pid}/maps")
        last = limited(partial(_first_look, open_it))
        yield Look(last, [])
        still_there = partial(_is_it, pid, proc, born)
        while not wait(interval) and (now := limited(partial(_look, open_it, still_there, last))):
            yield Look(now, now.diff(last))
            last = now


def _first_look(open_it: Callable[[], LiveMaps], deadline: float | None) -> Snapshot:
    with open_it() as maps:
        return maps.snapshot()


def _look(
    open_it: Callable[[], LiveMaps],
    still_there: Callable[[], bool],
    last: Snapshot,
    deadline: float | None,
) -> Snapshot | None:
    """Return a snapshot, None if the process has ended."""
    for _ in range(_ATTEMPTS):  # it may change its program meanwhile
        try:
            with open_it() as maps:
                # Who is there after the file was opened was so before: the file is of this one.
                return maps.snapshot(last) if still_there() else None
        except (FileNotFoundError, ProcessLookupError):
            continue
    return None


def _is_it(pid: int, proc: str, born: int | None) -> bool:
    return start_time(pid, proc) == born


@contextmanager
def _waiter(pid: int, proc: str) -> Iterator[Callable[[float], bool]]:
    """Give what waits for some seconds, or until the process has ended; then it returns True.

    A process of another PID namespace, or a thread, cannot be waited for: only time passes.
    """
    with ExitStack() as stack:
        ended = select.poll()
        try:
            fd = os.pidfd_open(pid) if same_pids(proc) else -1
        except OSError:
            fd = -1
        if fd >= 0:
            stack.callback(os.close, fd)
            ended.register(fd, select.POLLIN)
        yield lambda seconds: bool(ended.poll(seconds * 1000))
