"""Detect that no thread of a process ran for a while.

Only threads of a process change its address space, and once a thread is off its CPU again, its run
time is part of the process's CPU time, to the nanosecond. While it is still on its CPU that may
lag, up to the next tick. So no thread ran between two moments if

1. the CPU time is the same at both, and
2. each thread was seen off its CPU between the second moment and that reading of the CPU time.

/proc/PID/task/TID/syscall shows 2: it prints `running`, or else waits until the thread is off its
CPU and prints where it sleeps. A thread that is missing from the list of threads has ended, which
adds its time, or was created after the second moment by another thread that ran.

Not detected: tasks that share the memory but are not threads of the process (clone(CLONE_VM)
without CLONE_THREAD; a vfork() child until its exec), and another process that holds a userfaultfd
of this memory.

Source: kernel/sched/cputime.c:thread_group_cputime(); lib/syscall.c:task_current_syscall();
kernel/sched/core.c:wait_task_inactive(); clock_getcpuclockid(3), proc_pid_syscall(5).
"""

import errno
import os
import time
from functools import lru_cache
from pathlib import Path

from untorn.errors import os_error

_CPUCLOCK_SCHED = 2
"""The exact one of a process's three clocks. Source: linux/posix-timers_types.h."""
_FINE_NS = 20_000
"""A clock that follows the timer tick moves in steps of a hundred times as much."""
_RUNNING = b"running\n"


class Idleness:
    """Detects whether a process slept between two calls.

    Args:
        pid: A process, not a thread; its number must be the same in the procfs and for us.
        proc: Where procfs is mounted.

    Raises:
        OSError: ESRCH if the process is gone.
    """

    def __init__(self, pid: int, proc: str) -> None:
        self._clock = ~pid << 3 | _CPUCLOCK_SCHED
        self._tasks = f"{proc}/{pid}/task"
        self._threads: list[str] = []
        self._before = self._cpu_time()

    def start(self) -> None:
        """Begin a period of time. Raises OSError ESRCH if the process is gone."""
        self._threads, self._before = self._list_threads(), self._cpu_time()

    def slept(self) -> bool:
        """Return whether no thread ran since start(), or since the last call of this method.

        False if that is unknown: a thread is ready to run, or we may not look at it (that takes the
        right to trace it). Raises OSError ESRCH if the process is gone.
        """
        threads, before = self._threads, self._before
        still = self._cpu_time() == before
        self._threads = self._list_threads()
        still = still and self._threads == threads and self._all_off_cpu()
        self._before = self._cpu_time()
        return still and self._before == before

    def _list_threads(self) -> list[str]:
        try:
            return os.listdir(self._tasks)  # noqa: PTH208 (a Path takes as long again)
        except FileNotFoundError:
            raise os_error(errno.ESRCH) from None

    def _cpu_time(self) -> int:
        try:
            return time.clock_gettime_ns(self._clock)
        except OSError:  # EINVAL: the process is gone
            raise os_error(errno.ESRCH) from None

    def _all_off_cpu(self) -> bool:
        try:
            return all(map(self._is_off_cpu, self._threads))
        except OSError:
            return False

    def _is_off_cpu(self, tid: str) -> bool:
        fd = os.open(f"{self._tasks}/{tid}/syscall", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(fd, len(_RUNNING)) != _RUNNING
        finally:
            os.close(fd)


def find_idleness(pid: int, proc: str) -> Idleness | None:
    """Return a detector for a process, None if there can be none.

    There is none if pid is a thread, has another number here, or has ended, or if the kernel counts
    CPU time by the tick.
    """
    try:
        return Idleness(pid, proc) if same_pids(proc) and _is_fine() else None
    except ProcessLookupError:
        return None


def same_pids(proc: str) -> bool:
    """Return whether the procfs mounted there numbers processes as we do."""
    try:
        return _same_pids(proc, os.stat(proc).st_dev, os.getpid())  # noqa: PTH116 (as above)
    except OSError:
        return False


@lru_cache
def _same_pids(proc: str, mount: int, own_pid: int) -> bool:
    """Decide by how many numbers it lists for this process: from its namespace down to ours.

    mount and own_pid are only keys of the cache. Source: proc_pid_status(5), NSpid.
    """
    status = (Path(proc) / "self/status").read_bytes()
    return len(status.partition(b"\nNSpid:")[2].partition(b"\n")[0].split()) == 1


@lru_cache
def _is_fine() -> bool:
    """Return whether CPU time is counted continuously, not by the tick."""
    steps = []
    for _ in range(5):
        start = now = time.thread_time_ns()
        while now == start:
            now = time.thread_time_ns()
        steps.append(now - start)
    return min(steps) < _FINE_NS
