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
    """What doctor reports besides the environment."""

    locking: tuple[Locking, ...]
    lowest_nice: int
    """The lowest nice value (highest priority) that a thread can have here."""
    sched_fifo: bool
    """Whether a thread can have a real-time priority here."""
    read_gently: tuple[str, ...]
    """The files that are read gently by default: see gentle.py."""
    raised_to: str | None
    """The priority of a gentle read; None if it keeps the thread's own."""
    cap_sys_nice: bool
    rlimit_nice: int
    """The limit, 20 - nice; 0 allows no raise."""
    rlimit_rtprio: int
    qemu: str | None
    """Path of the emulator for this machine's architecture."""
    matplotlib: bool

    @classmethod
    def here(cls) -> Self:
        """Probe; to test a priority, the calling thread takes it and gives it back at once."""
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
