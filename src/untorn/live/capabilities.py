"""What this kernel, this machine and this user's rights allow."""

import os
import resource
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Thread, get_native_id
from typing import Self

from untorn.live.maps_locking import Locking, probe_locking

_CAP_SYS_NICE = 23
_LOWEST_NICE = -20


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What doctor reports beside the environment."""

    locking: tuple[Locking, ...]
    lowest_nice: int
    """Least nice value (highest priority) that a thread could be given."""
    sched_fifo: bool
    """A thread could be given a real-time priority."""
    cap_sys_nice: bool
    rlimit_nice: int
    """Limit 20 - nice; 0 allows no raise."""
    rlimit_rtprio: int
    qemu: str | None
    """Path of the emulator for this machine's architecture."""
    matplotlib: bool

    @classmethod
    def here(cls) -> Self:
        """Probe; priorities are tried on threads that end at once."""
        return cls(
            locking=tuple(probe_locking()),
            lowest_nice=_try_in_thread(_lower_nice),
            sched_fifo=bool(_try_in_thread(_become_fifo)),
            cap_sys_nice=_has_capability(_CAP_SYS_NICE),
            rlimit_nice=resource.getrlimit(resource.RLIMIT_NICE)[0],
            rlimit_rtprio=resource.getrlimit(resource.RLIMIT_RTPRIO)[0],
            qemu=shutil.which(f"qemu-system-{os.uname().machine}"),
            matplotlib=find_spec("matplotlib") is not None,
        )


def _try_in_thread(probe: Callable[[int], int]) -> int:
    """Return what the probe finds out about its own thread, by native id; the thread ends."""
    results: list[int] = []
    thread = Thread(target=lambda: results.append(probe(get_native_id())))
    thread.start()
    thread.join()
    return results[0]


def _lower_nice(tid: int) -> int:
    """Lower the thread's nice value step by step; return the least that was allowed."""
    for nice in range(os.getpriority(os.PRIO_PROCESS, tid) - 1, _LOWEST_NICE - 1, -1):
        try:
            os.setpriority(os.PRIO_PROCESS, tid, nice)
        except PermissionError:
            break
    return os.getpriority(os.PRIO_PROCESS, tid)


def _become_fifo(tid: int) -> bool:
    try:
        os.sched_setscheduler(tid, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        return False
    return True


def _has_capability(number: int) -> bool:
    status = Path("/proc/self/status").read_text()
    effective = status.partition("CapEff:")[2].split()[0]
    return bool(int(effective, 16) >> number & 1)
