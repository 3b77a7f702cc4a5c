"""The System V segments that the traced program attaches, from /proc/sysvipc/shm."""

from dataclasses import replace
from pathlib import Path

from untorn.conform.program.processes import Thread
from untorn.mm.calls.shm import ShmSegment

_SEGMENTS = Path("/proc/sysvipc/shm")
_CAP_IPC_OWNER = 15
_ALL = 0o7
"""The bits of read, write and execute."""


class Segments:
    """The segments met so far: one that is attached twice has the same pages."""

    def __init__(self) -> None:
        self._known: dict[int, ShmSegment] = {}

    def of(self, thread: Thread, shmid: int) -> ShmSegment | None:
        """Return a segment with a thread's rights to it; None if there is none."""
        for line in _SEGMENTS.read_text().splitlines()[1:]:
            key, number, perms, size, _, _, _, *owners = line.split()
            if int(number) == shmid:
                new = ShmSegment(int(size), int(key) & 0xFFFF_FFFF, shmid)
                known = self._known.setdefault(shmid, new)
                granted = _granted(thread, int(perms, 8), tuple(map(int, owners[:4])))
                return replace(known, granted=granted)
        return None


def _granted(thread: Thread, mode: int, owners: tuple[int, ...]) -> int:
    """Return the mode bits that apply to a thread. Source: sysvipc(7).

    Args:
        thread: The thread that asks.
        mode: The permissions of owner, group and others.
        owners: User and group of the owner, then of the creator.
    """
    if thread.process.capabilities() >> _CAP_IPC_OWNER & 1:
        return _ALL
    fields = dict(line.split(b":", 1) for line in thread.status().splitlines())
    groups = {int(fields[b"Gid"].split()[3]), *map(int, fields[b"Groups"].split())}
    if int(fields[b"Uid"].split()[1]) in owners[::2]:
        mode >>= 6
    elif not groups.isdisjoint(owners[1::2]):
        mode >>= 3
    return mode & _ALL
