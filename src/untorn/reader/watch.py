"""Look at the map of a process again and again, and report what changed."""

import os
import select
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import NamedTuple

from untorn.reader.access.idleness import same_pids
from untorn.reader.access.limit import TIMEOUT, within
from untorn.reader.access.task import start_time
from untorn.reader.diff import Change
from untorn.reader.live_maps import LiveMaps
from untorn.reader.snapshot import Snapshot

_ATTEMPTS = 3


class Look(NamedTuple):
    """One look at a process."""

    snapshot: Snapshot
    changes: list[Change]
    """Changes since the look before, in the order of addresses; none the first time."""


def watch(
    pid: int,
    *,
    interval: float = 1.0,
    proc: str = "/proc",
    gentle: bool | None = None,
    timeout: float | None = TIMEOUT,
) -> Generator[Look, None, None]:
    """Yield a look at once, and another one after each interval.

    It ends when the process ends: at once if the kernel can notify us, otherwise at the next look.
    If the process changes its program, everything has changed. If the map did not change, its text
    is only read and compared; otherwise only the lines between the first and the last change are
    parsed.

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
    limited = partial(within, timeout, path=f"{proc}/{pid}/maps")
    watched = _Watched(pid, proc, gentle)
    last = limited(watched.begin)
    with _waiter(pid, watched.same_pids) as wait:
        yield Look(last, [])
        while not wait(interval) and (now := limited(partial(watched.look, last))):
            yield Look(now, now.diff(last))
            last = now


class _Watched:
    """One process; never a later one with its PID."""

    same_pids = False
    """Whether it has the same number here as in the procfs through which it is watched."""

    def __init__(self, pid: int, proc: str, gentle: bool | None) -> None:
        self._pid, self._proc = pid, proc
        self._open = partial(LiveMaps, pid, proc=proc, gentle=gentle, timeout=None)

    def begin(self) -> Snapshot:
        """Look for the first time."""
        self.same_pids = same_pids(self._proc)
        self._born = start_time(self._pid, self._proc)
        with self._open() as maps:
            return maps.snapshot()

    def look(self, last: Snapshot) -> Snapshot | None:
        """Look again; None if the process has ended."""
        for _ in range(_ATTEMPTS):  # it may change its program meanwhile
            try:
                with self._open() as maps:
                    # If the process exists now, the file that was just opened is its own.
                    is_it = start_time(self._pid, self._proc) == self._born
                    return maps.snapshot(last) if is_it else None
            except (FileNotFoundError, ProcessLookupError):
                continue
        return None


@contextmanager
def _waiter(pid: int, ours: bool) -> Iterator[Callable[[float], bool]]:
    """Yield a function that waits some seconds, or until the process ends; then it returns True.

    We cannot wait for a process of another PID namespace, or for a thread: then time just passes.
    """
    with ExitStack() as stack:
        ended = select.poll()
        try:
            fd = os.pidfd_open(pid) if ours else -1
        except OSError:
            fd = -1
        if fd >= 0:
            stack.callback(os.close, fd)
            ended.register(fd, select.POLLIN)
        yield lambda seconds: bool(ended.poll(seconds * 1000))
