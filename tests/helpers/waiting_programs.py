"""Programs that do nothing but wait for input: their maps stay as they are."""

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
"""Commands."""


@contextmanager
def waiting(command: list[str]) -> Iterator[int]:
    """Give the PID of a program that waits for input, once it does."""
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        wait_until(lambda: _waits(process.pid))
        yield process.pid


def _waits(pid: int) -> bool:
    return Path(f"/proc/{pid}/syscall").read_bytes().startswith(b"0 0x0 ")
