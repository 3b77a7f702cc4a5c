"""A process of the engine with the VMAs of a real one."""

from pathlib import Path

from untorn.reader.live_maps import LiveMaps
from untorn.syscalls import Process


def twin_of(pid: int) -> Process:
    """Return a process with the VMAs of a real one, and the build ids of its files."""
    process = Process.from_maps(Path(f"/proc/{pid}/maps").read_bytes())
    with LiveMaps(pid) as maps:
        for start, _, vma in process.mm.mm_mt:
            if vma.vm_file:
                vma.vm_file.build_id = maps.query(start, build_id=True).build_id
    return process
