"""A process of the engine that has the VMAs of a real one."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.tasks import wait_until
from untorn.reader.live_maps import LiveMaps
from untorn.syscalls import Process

_MAPS_MANY = """
import mmap, os
kept = [mmap.mmap(-1, 4096 * (1 + n % 3), prot=1 + n % 2 * 2) for n in range(150)]
os.read(0, 1)
"""
FEW_VMAS, MANY_VMAS = ["cat"], [sys.executable, "-c", _MAPS_MANY]
"""Programs that wait for input."""


@contextmanager
def a_real_process(command: list[str]) -> Iterator[int]:
    """Give the PID of a program that waits for input, once it does."""
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        wait_until(lambda: _waits(process.pid))
        yield process.pid


def _waits(pid: int) -> bool:
    return Path(f"/proc/{pid}/syscall").read_bytes().startswith(b"0 0x0 ")


def twin_of(pid: int) -> Process:
    """Return a process that has the VMAs of a real one, and the build ids of its files."""
    process = Process.from_maps(Path(f"/proc/{pid}/maps").read_bytes())
    with LiveMaps(pid) as maps:
        for start, _, vma in process.mm.mm_mt:
            if vma.vm_file:
                vma.vm_file.build_id = maps.query(start, build_id=True).build_id
    return process
