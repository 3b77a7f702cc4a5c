"""What this kernel, this machine and this user's rights allow."""

import os
import resource
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from untorn.reader.access.kernel_locks import PER_VMA_SINCE, Locking, probe_locking, takes_mmap_lock
from untorn.reader.access.priority import FIFO, find_raise, lowest_nice, may

_CAP_SYS_NICE = 23


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What doctor reports beside the environment."""

    locking: tuple[Locking, ...]
    lowest_nice: int
    """Least nice value (highest priority) that a thread could be given."""
    sched_fifo: bool
    """A thread could be given a real-time priority."""
    read_gently: tuple[str, ...]
    """What is read gently unless that is forbidden: see gentle.py."""
    raised_to: str | None
    """The priority that a gentle read has, None if it has no other than the thread's own."""
    cap_sys_nice: bool
    rlimit_nice: int
    """Limit 20 - nice; 0 allows no raise."""
    rlimit_rtprio: int
    qemu: str | None
    """Path of the emulator for this machine's architecture."""
    matplotlib: bool

    @classmethod
    def here(cls) -> Self:
        """Probe; a priority is tried on the calling thread and given back at once."""
        return cls(
            locking=tuple(probe_locking()),
            lowest_nice=lowest_nice(),
            sched_fifo=may(FIFO),
            read_gently=tuple(filter(takes_mmap_lock, PER_VMA_SINCE)),
            raised_to=getattr(find_raise(), "name", None),
            cap_sys_nice=_has_capability(_CAP_SYS_NICE),
            rlimit_nice=resource.getrlimit(resource.RLIMIT_NICE)[0],
            rlimit_rtprio=resource.getrlimit(resource.RLIMIT_RTPRIO)[0],
            qemu=shutil.which(f"qemu-system-{os.uname().machine}"),
            matplotlib=find_spec("matplotlib") is not None,
        )


def _has_capability(number: int) -> bool:
    status = Path("/proc/self/status").read_text()
    effective = status.partition("CapEff:")[2].split()[0]
    return bool(int(effective, 16) >> number & 1)
