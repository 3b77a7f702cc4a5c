"""Which processes there are, by /proc."""

from pathlib import Path


def children_of(pid: int) -> list[int]:
    """Return the processes whose parent this is, also those that ended and were not reaped."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:  # it has ended since
            continue
        if int(parent) == pid:
            found.append(int(stat.parent.name))
    return found
