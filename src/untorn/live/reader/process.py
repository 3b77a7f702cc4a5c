"""Which process it is, and why one has no map to show."""

import errno
from pathlib import Path

_PF_KTHREAD = 0x0020_0000
"""Source: include/linux/sched.h."""


def start_time(pid: int, proc: str) -> int | None:
    """Return when a process started, in clock ticks since boot; None if it is gone.

    A process that got the number of another one later has another start time.
    Source: proc_pid_stat(5), starttime.
    """
    fields = _stat(pid, proc)
    return int(fields[19]) if fields else None


def no_map(pid: int, proc: str) -> ProcessLookupError:
    """Return the error, ESRCH, that tells why a file of this process showed no map to its end."""
    fields = _stat(pid, proc)
    if not fields:
        reason = "the process ended while it was read"
    elif fields[0] in (b"Z", b"X"):
        reason = "the process has ended, a zombie has no memory"
    elif int(fields[6]) & _PF_KTHREAD:
        reason = "a kernel thread has no memory of its own"
    else:
        reason = "the process is ending, or its program was replaced"
    return ProcessLookupError(errno.ESRCH, reason, f"{proc}/{pid}/maps")


def _stat(pid: int, proc: str) -> list[bytes]:
    """Return the fields of its stat from the state on; none if it is gone."""
    try:
        return (Path(proc) / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
