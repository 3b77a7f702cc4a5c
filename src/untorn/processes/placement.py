"""Put a task on a CPU, and give it a priority.

A task is named by its native thread id (or the id of a one-threaded process), so that threads can
be placed as well as processes; 0 names the caller.
"""

import os

from untorn.errors import OutOfReachError


def place(tid: int, cpu: int, nice: int) -> None:
    """Pin a task to a CPU and give it a nice value.

    Raises:
        OutOfReachError: This user may not.
        ProcessLookupError: There is no such task.
    """
    pin(tid, {cpu})
    set_nice(tid, nice)


def pin(tid: int, cpus: set[int]) -> None:
    """Allow a task these CPUs only.

    Raises:
        OutOfReachError: This user may not.
        OSError: ESRCH if there is no such task, EINVAL if no such CPU.
    """
    try:
        os.sched_setaffinity(tid, cpus)
    except PermissionError as error:
        wanted = ", ".join(map(str, sorted(cpus)))
        raise OutOfReachError(f"no permission to move a task to CPU {wanted}") from error


def set_nice(tid: int, nice: int) -> None:
    """Give a task a nice value: 0 is normal, 19 the most yielding.

    Raises:
        OutOfReachError: This user may not.
        ProcessLookupError: There is no such task.
    """
    try:
        os.setpriority(os.PRIO_PROCESS, tid, nice)
    except PermissionError as error:
        now = os.getpriority(os.PRIO_PROCESS, tid)
        raise OutOfReachError(
            f"no permission to run a task at nice {nice}, as it is at nice {now}; start at nice "
            f"{nice} or lower, or with CAP_SYS_NICE or a higher RLIMIT_NICE (ulimit -e)"
        ) from error
