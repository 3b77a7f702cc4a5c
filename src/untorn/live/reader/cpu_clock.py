"""The CPU time of a process, by which we know that it did not run.

An address space is changed by threads of its process. If the CPU time of the process, taken
before and after a read(), is the same to the nanosecond, none of them ran in between: the kernel
counts also what a thread that is running now has run so far.

Not counted, so not seen: tasks that share the memory and are not threads of the process
(clone(CLONE_VM) without CLONE_THREAD; a vfork() child until its exec), and a userfaultfd of this
memory in the hands of another process.

Source: clock_getcpuclockid(3); kernel/sched/core.c:task_sched_runtime().
"""

import errno
import os
import time
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

from untorn.errors import os_error

_CPUCLOCK_SCHED = 2
"""Of the three clocks of a process, the exact one. Source: linux/posix-timers_types.h."""
_FINE_NS = 20_000
"""A clock that follows the timer tick moves in steps of a thousand times as much."""

CpuClock = Callable[[], int]
"""Returns ns; raises OSError ESRCH once the process is gone."""


def cpu_clock(pid: int, proc: str) -> CpuClock | None:
    """Return what tells the CPU time of a process, in ns.

    Args:
        pid: A process, as numbered where that procfs was mounted.
        proc: Where procfs is mounted.

    Returns:
        None if there is none to rely on: pid is a thread, or has another number here.
    """
    clock = partial(_read, ~pid << 3 | _CPUCLOCK_SCHED)
    try:
        clock()
    except ProcessLookupError:
        return None
    return clock if same_pids(proc) and _is_fine() else None


def _read(clock: int) -> int:
    try:
        return time.clock_gettime_ns(clock)
    except OSError:  # EINVAL, for a process that is gone
        raise os_error(errno.ESRCH) from None


def same_pids(proc: str) -> bool:
    """Tell whether the procfs mounted there numbers processes as we do."""
    try:
        return _same_pids(proc, Path(proc).stat().st_dev, os.getpid())
    except OSError:
        return False


@lru_cache
def _same_pids(proc: str, mount: int, own_pid: int) -> bool:
    """Tell it by how many numbers it lists for this process: from its namespace down to ours.

    mount and own_pid only tell apart what is remembered. Source: proc_pid_status(5), NSpid.
    """
    status = (Path(proc) / "self/status").read_text()
    return len(status.partition("\nNSpid:")[2].partition("\n")[0].split()) == 1


@lru_cache
def _is_fine() -> bool:
    """Tell whether CPU time is counted continuously, not by the tick."""
    steps = []
    for _ in range(5):
        start = now = time.thread_time_ns()
        while now == start:
            now = time.thread_time_ns()
        steps.append(now - start)
    return min(steps) < _FINE_NS
