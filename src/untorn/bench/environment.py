"""Where a measurement was taken: kernel, CPUs, Python, load."""

import os
import platform
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

_PREEMPT_FILE = Path("/sys/kernel/debug/sched/preempt")


@dataclass(frozen=True, slots=True)
class Environment:
    """Facts that may explain a difference between two measurements."""

    kernel: str
    """Release, as uname -r."""
    kernel_build: str
    """Build, as uname -v."""
    preemption: str | None
    """Preemption model in force, or else the one built in, or else None."""
    machine: str
    cpus: tuple[int, ...]
    """CPUs that this process may use."""
    python: str
    """Implementation and version."""
    gil: bool
    """Only one thread at a time runs Python code."""
    switch_interval_ms: float
    """Seconds for which a thread may keep the GIL while another waits for it."""
    load: tuple[float, float, float]
    """Tasks that run, are ready or wait for a disk, averaged over 1, 5 and 15 minutes."""
    date: str
    """ISO 8601, UTC."""
    guest_of: str = ""
    """If this is a guest of ours: what runs it, and why it is emulated, if it is."""
    simulated: bool = False
    """If this is a simulated machine: the kernel whose costs it uses."""

    @classmethod
    def here(cls) -> Self:
        """Describe this machine and this process, now."""
        system = os.uname()
        return cls(
            kernel=system.release,
            kernel_build=system.version,
            preemption=_preemption(system.version),
            machine=system.machine,
            cpus=tuple(sorted(os.sched_getaffinity(0))),
            python=f"{platform.python_implementation()} {platform.python_version()}",
            gil=has_gil(),
            switch_interval_ms=sys.getswitchinterval() * 1000,
            load=os.getloadavg(),
            date=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def has_gil() -> bool:
    """Return whether only one thread at a time runs Python code; an import may change it."""
    enabled: bool = getattr(sys, "_is_gil_enabled", lambda: True)()  # from 3.13
    return enabled


def _preemption(build: str) -> str | None:
    """Return the model that debugfs shows in brackets, or else the one of the build."""
    try:
        in_force = re.search(r"\((\w+)\)", _PREEMPT_FILE.read_text())
    except OSError:
        in_force = None
    built_in = re.search(r"PREEMPT\w*", build)
    found = in_force[1] if in_force else built_in and built_in[0]
    return found or None
