"""Identify a process, its threads that have memory, and the reason if it has no map to show.

A process whose main thread has ended lives on in its other threads (for example after
pthread_exit() in main of a Go, Rust or C++ program). /proc/PID then shows no memory;
/proc/PID/task/TID does.
"""

import errno
import os
from pathlib import Path
from typing import NamedTuple, Self

from untorn.reader.access.limit import check_time

_PF_EXITING, _PF_KTHREAD = 0x0000_0004, 0x0020_0000
"""Source: include/linux/sched.h."""
_DEAD = b"Z", b"X"


class Status(NamedTuple):
    """What /proc/PID/stat says of a task. Source: proc_pid_stat(5)."""

    command: bytes
    """The kernel's name of the program. It is not the command line, which is in its memory."""
    state: bytes
    """One letter."""
    flags: int
    """PF_* bits."""
    start_time: int
    """Clock ticks since boot; tells a task from a later one that has its number."""

    @classmethod
    def parse(cls, text: bytes) -> Self | None:
        """Parse the text of that file; None if it is empty."""
        before, _, after = text.rpartition(b")")
        if not after:
            return None
        fields = after.split()
        _, _, command = before.partition(b"(")
        numbers = (int(fields[n]) for n in (6, 19))
        return cls(command, fields[0], *numbers)

    @property
    def is_kernel_thread(self) -> bool:
        """Whether it never had a memory of its own."""
        return bool(self.flags & _PF_KTHREAD)

    @property
    def dead(self) -> bool:
        """Whether it is a zombie, or has just ceased to be one."""
        return self.state in _DEAD

    @property
    def leaving(self) -> bool:
        """Whether it has lost its memory, or is giving it up."""
        return self.dead or bool(self.flags & _PF_EXITING)


class Thread(NamedTuple):
    """One thread of a process; a later one with its number is not equal to it."""

    tid: int
    start_time: int


def pids_of(proc: str) -> list[int]:
    """Return the PIDs of all processes, in ascending order.

    Raises:
        OSError: ENOENT if there is no procfs.
    """
    os.lstat(f"{proc}/self")
    names = os.listdir(proc)  # noqa: PTH208 (as below)
    return sorted(int(name) for name in names if name.isdecimal())


def status_of(place: str) -> Status | None:
    """Return the status of the task at /proc/PID or /proc/PID/task/TID; None if it is gone.

    Raises:
        OSError: ETIMEDOUT if the look has no time left.
    """
    check_time(place)
    try:
        return Status.parse((Path(place) / "stat").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return None


def start_time(pid: int, proc: str) -> int | None:
    """Return when a process started, in clock ticks since boot; None if it is gone."""
    status = status_of(f"{proc}/{pid}")
    return status and status.start_time


def living_threads(pid: int, proc: str) -> list[Thread]:
    """Return the threads of a process that have its memory, the oldest first."""
    try:
        tids = sorted(map(int, os.listdir(f"{proc}/{pid}/task")))  # noqa: PTH208 (a Path takes as long again)
    except (FileNotFoundError, ProcessLookupError):
        return []
    statuses = ((tid, status_of(f"{proc}/{pid}/task/{tid}")) for tid in tids)
    found = [Thread(tid, each.start_time) for tid, each in statuses if each and not each.leaving]
    return sorted(found, key=lambda thread: thread.start_time)


def may_have_memory(pid: int, proc: str) -> bool:
    """Return whether some thread of a process may have memory."""
    status = status_of(f"{proc}/{pid}")
    if status is None or status.is_kernel_thread:
        return False
    return not status.leaving or bool(living_threads(pid, proc))


def place_of(pid: int, proc: str, thread: int | None = None) -> str:
    """Return the directory with the maps, root and other files of a process.

    Args:
        pid: The process.
        proc: Where procfs is mounted.
        thread: The thread through which to reach it; None for the main one.
    """
    return f"{proc}/{pid}" if thread is None else f"{proc}/{pid}/task/{thread}"


def no_map(pid: int, proc: str) -> ProcessLookupError:
    """Return the error, ESRCH, that says why a file of this process showed no complete map."""
    status = status_of(f"{proc}/{pid}")
    if status is None:
        reason = "the process ended while it was read"
    elif status.is_kernel_thread:
        reason = "a kernel thread has no memory of its own"
    elif not status.leaving:
        reason = "its program was replaced while it was read"
    elif living_threads(pid, proc):
        reason = "the threads by which it was read have ended"
    elif status.dead:
        reason = "the process has ended, a zombie has no memory"
    else:
        reason = "the process is ending and has given up its memory"
    return ProcessLookupError(errno.ESRCH, reason, f"{proc}/{pid}/maps")
