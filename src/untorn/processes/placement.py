"""Put a task on a CPU, and set its priority.

A task is named by its native thread ID (or the PID of a process with one thread), so that threads
can be placed like processes; 0 names the caller.
"""

import os

from untorn.errors import OutOfReachError


def place(tid: int, cpu: int, nice: int) -> None:
    """Pin a task to a CPU and give it a nice value.

    Raises:
        OutOfReachError: This user may not do that.
        ProcessLookupError: There is no such task.
    """
    pin(tid, {cpu})
    set_nice(tid, nice)


def pin(tid: int, cpus: set[int]) -> None:
    """Restrict a task to these CPUs.

    Raises:
        OutOfReachError: This user may not do that.
        OSError: ESRCH if there is no such task, EINVAL if no such CPU.
    """
    try:
        os.sched_setaffinity(tid, cpus)
    except PermissionError as error:
        wanted = ", ".join(map(str, sorted(cpus)))
        raise OutOfReachError(f"no permission to move a task to CPU {wanted}") from error


def set_nice(tid: int, nice: int) -> None:
    """Give a task a nice value: 0 is normal, 19 is the lowest priority.

    Raises:
        OutOfReachError: This user may not do that.
        ProcessLookupError: There is no such task.
    """
    try:
        os.setpriority(os.PRIO_PROCESS, tid, nice)
    except PermissionError as error:
        now = os.getpriority(os.PRIO_PROCESS, tid)
        raise OutOfReachError(
            f"no permission to run a task at nice {nice}, because it is at nice {now}; start at "
            f"nice {nice} or lower, or with CAP_SYS_NICE or a higher RLIMIT_NICE (ulimit -e)"
        ) from error
