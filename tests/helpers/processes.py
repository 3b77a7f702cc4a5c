"""Which processes exist, according to /proc."""

from pathlib import Path


def children_of(pid: int) -> set[int]:
    """The children of a process, without zombies.

    Nor the one that multiprocessing starts with its first process and keeps to the end.
    """
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            command = stat.with_name("cmdline").read_bytes()
        except OSError:
            continue
        kept = b"multiprocessing.resource_tracker" in command
        if int(parent) == pid and state != "Z" and not kept:
            found.add(int(stat.parent.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
