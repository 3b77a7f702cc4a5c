"""One look at a process: open its maps, look, close them."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from untorn.reader.access.budget import Budget
from untorn.reader.access.limit import GRACE, MAX_HOLD, TIMEOUT, memory_timeout
from untorn.reader.access.limit import within as in_time
from untorn.reader.live_maps import LiveMaps

if TYPE_CHECKING:
    from untorn.reader.files.location import Location
    from untorn.reader.memory.memory import Memory
    from untorn.reader.snapshot import Snapshot

T = TypeVar("T")
_ATTEMPTS = 3


def open_maps(
    pid: int,
    *,
    proc: str = "/proc",
    gentle: bool | None = None,
    ioctl: bool = True,
    timeout: float | None = TIMEOUT,
) -> LiveMaps:
    """Open the maps of a process: see LiveMaps for arguments and errors."""
    return LiveMaps(pid, proc=proc, gentle=gentle, ioctl=ioctl, timeout=timeout)


def snapshot(
    pid: int,
    *,
    proc: str = "/proc",
    gentle: bool | None = None,
    previous: "Snapshot | None" = None,
    timeout: float | None = TIMEOUT,
) -> "Snapshot":
    """Return the whole map of a process as it is now.

    If the process changes its program meanwhile, the new one is read.

    Args:
        pid: The process, or a thread of it.
        proc: Where procfs is mounted; pid is its number there.
        gentle: As for LiveMaps.
        previous: An older snapshot of this process, to reuse what did not change.
        timeout: Seconds that it may take; None for as long as the kernel takes.

    Raises:
        OSError: ENOENT if there is no such process, EACCES or EPERM if its map may not be read;
            ESRCH, with the reason, if it has no memory: a zombie, a kernel thread, or it ended
            while it was read; ETIMEDOUT if it takes longer than it may.
    """
    return look_at(
        pid, lambda maps: maps.snapshot(previous), proc=proc, gentle=gentle, timeout=timeout
    )


def memory(
    pid: int,
    *,
    max_hold: float = MAX_HOLD,
    within: float | None = None,
    proc: str = "/proc",
    gentle: bool | None = None,
    timeout: float | None = None,
) -> "Memory":
    """Return what a process has in memory, VMA by VMA, without stalling it.

    If the process changes its program meanwhile, the new one is looked at.

    Args:
        pid: The process, or a thread of it.
        max_hold: As for LiveMaps.memory(), like within.
        within: Seconds after which an estimate will do.
        proc: Where procfs is mounted; pid is its number there.
        gentle: False to look without pauses, at the thread's own priority.
        timeout: Seconds that it may take. None for within plus 1 second; or if that is None, for 60
            seconds and 10 ms for each page table, several times what it takes.

    Raises:
        OSError: As snapshot().
        ValueError: A time is not above 0.
    """
    if timeout is None:
        timeout = _memory_timeout(f"{proc}/{pid}") if within is None else within + GRACE
    return look_at(
        pid,
        lambda maps: maps.memory(max_hold=max_hold, within=within),
        proc=proc,
        gentle=gentle,
        timeout=timeout,
    )


def _memory_timeout(place: str) -> float:
    from untorn.reader.page_walk import sizes_of

    tables = 0
    with suppress(OSError):  # the look itself reports the error
        tables = in_time(TIMEOUT, lambda: sizes_of(place)["VmPTE"], place)
    return memory_timeout(tables)


def locate(
    pid: int,
    addr: int,
    *,
    build_id: bool = False,
    proc: str = "/proc",
    timeout: float | None = TIMEOUT,
) -> "Location":
    """Return where a byte address of a process lies in the file that is mapped there.

    Args:
        pid: The process, or a thread of it.
        addr: Byte address.
        build_id: Whether to return the build id of the file, too.
        proc: Where procfs is mounted; pid is its number there.
        timeout: Seconds that it may take; None for as long as the kernel takes.

    Raises:
        OSError: As snapshot(); ENOENT also if nothing is mapped there.
    """
    return look_at(
        pid, lambda maps: maps.locate(addr, build_id=build_id), proc=proc, timeout=timeout
    )


def look_at(
    pid: int,
    look: Callable[[LiveMaps], T],
    *,
    proc: str = "/proc",
    gentle: bool | None = None,
    timeout: float | None = TIMEOUT,
    budget: Budget | None = None,
) -> T:
    """Return the result of a look at a process; repeat it if the process changes its program.

    Args:
        pid: The process, or a thread of it.
        look: Called with the open maps.
        proc: Where procfs is mounted; pid is its number there.
        gentle: As for LiveMaps.
        timeout: Seconds that it may take; None for as long as the kernel takes.
        budget: As for LiveMaps.

    Raises:
        OSError: As LiveMaps and its methods.
    """
    open_it = partial(LiveMaps, pid, proc=proc, gentle=gentle, timeout=None, budget=budget)

    def attempt() -> T:
        for _ in range(_ATTEMPTS - 1):
            with open_it() as maps, suppress(ProcessLookupError):
                return look(maps)
        with open_it() as maps:
            return look(maps)

    return in_time(timeout, attempt, f"{proc}/{pid}/maps")
