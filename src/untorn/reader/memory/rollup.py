"""What one process has in memory by its smaps_rollup, the quickest way for a small one."""

import errno
import os
import re
from functools import partial
from typing import Any, NamedTuple

from untorn.errors import os_error
from untorn.reader.access.gentle import Holds
from untorn.reader.access.limit import check_time
from untorn.reader.access.task import Status
from untorn.reader.memory.figures import SUMS
from untorn.reader.memory.memory import Amounts

_TEXT_SIZE = 4096
"""Bytes; more than each of these files has."""


_FIELD = re.compile(rb"\n(\w+): +(\d+) kB")
"""Of what the kernel prints for many processes: see smaps_text.py for all else."""
_PARTS = [(name, [part.encode() for part in parts]) for name, parts in SUMS.items()]


class Rollup(NamedTuple):
    """A look at a process."""

    status: Status
    amounts: Amounts | None
    """None if the process has no memory, or the kernel could hold its lock for too long to tell."""


def read_rollup(pid: int, proc: str, holds: Holds, most_pages: int) -> Rollup:
    """Return what a process has.

    Args:
        pid: The process.
        proc: Where procfs is mounted.
        holds: By which the call is made that holds the lock.
        most_pages: How many pages it may walk.

    Raises:
        OSError: ENOENT or ESRCH if it is gone; EACCES or EPERM if it may not be looked at;
            ETIMEDOUT if the look that this is part of has no time left.
    """
    path = f"{proc}/{pid}"
    check_time(path)
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:  # all is read by one directory, so it is of one process
        status = Status.parse(_read(directory, "stat"))
        if status is None:
            raise os_error(errno.ESRCH)
        if not 0 < status.rss <= most_pages:
            return Rollup(status, None)
        text = _read(directory, "smaps_rollup", holds)
        return Rollup(status, _amounts(text, status.size) if text else None)
    finally:
        os.close(directory)


def _read(directory: int, name: str, holds: Holds | None = None) -> bytes:
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        if holds is None:
            return os.read(fd, _TEXT_SIZE)
        return holds.make(partial(os.read, fd, _TEXT_SIZE))
    finally:
        os.close(fd)


def _amounts(text: bytes, size: int) -> Amounts:
    """Return the sums that a text tells; one of a field that this kernel lacks is left out."""
    told = dict(_FIELD.findall(text))
    sums: dict[str, Any] = {}
    for name, parts in _PARTS:
        if parts[0] in told:
            sums[name] = sum([int(told.get(part, 0)) for part in parts]) << 10
    return Amounts(None, size, **sums)
