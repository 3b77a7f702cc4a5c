"""A process of the engine that has the VMAs of a real one."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.tasks import wait_until
from untorn.reader.live_maps import LiveMaps
from untorn.syscalls import Process


@contextmanager
def a_real_process() -> Iterator[int]:
    """Give the PID of a process that does nothing."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
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
