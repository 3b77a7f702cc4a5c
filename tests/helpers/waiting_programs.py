"""Programs that only wait for input, so that their maps stand still."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.tasks import wait_until

_MAPS_MANY = """
import mmap, os
kept = [mmap.mmap(-1, 4096 * (1 + n % 3), prot=1 + n % 2 * 2) for n in range(150)]
os.read(0, 1)
"""
FEW_VMAS, MANY_VMAS = ["cat"], [sys.executable, "-c", _MAPS_MANY]
"""The commands of such programs."""


@contextmanager
def waiting(command: list[str]) -> Iterator[int]:
    """Yield the PID of a program once it waits for input."""
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        wait_until(lambda: _waits(process.pid))
        yield process.pid


def _waits(pid: int) -> bool:
    return Path(f"/proc/{pid}/syscall").read_bytes().startswith(b"0 0x0 ")
