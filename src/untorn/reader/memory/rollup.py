"""What one process has in memory, from its smaps_rollup: the quickest way for a small one."""

import os
import re
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from untorn.reader.access.gentle import Holds
from untorn.reader.access.idleness import same_pids
from untorn.reader.access.limit import check_time
from untorn.reader.memory.figures import SUMS
from untorn.reader.memory.memory import FIELDS, Amounts
from untorn.reader.page_walk import walk_ns

_TEXT_SIZE = 8192
"""Bytes; each of these files is shorter."""
_FIELD = re.compile(rb"\n(\w+):\s+(\d+) kB")
"""The lines that the kernel prints, for speed on many processes; smaps_text.py reads the rest."""
_SIZE = re.compile(rb"\n(Vm(?:Size|RSS|PTE|Swap)|HugetlbPages):\s+(\d+) kB")
"""Only the lines of status that we use: to parse all would double the time."""
_ESCAPED = re.compile(rb"\\(.)")
_PARTS = [(name, [part.encode() for part in SUMS[name]]) for name in FIELDS if name in SUMS]
NO_SIZES = dict.fromkeys(("VmRSS", "VmSwap", "VmPTE", "HugetlbPages"), 0)
"""The sizes of a process that has nothing."""


class Rollup(NamedTuple):
    """A look at a process."""

    command: bytes
    """The kernel's name of the program."""
    sizes: Mapping[str, int] | None
    """Counters in bytes, by their names in status; None if it has no memory."""
    amounts: Amounts | None
    """None, too, if the kernel could hold its lock for too long."""


class RollupText(NamedTuple):
    """The text of two files of a process."""

    status: bytes
    sizes: Mapping[str, int] | None
    """Counters of status in bytes, by name; None if there is no memory."""
    text: bytes
    """Empty if there is no memory, or if the kernel could hold its lock for too long."""


def read_rollup(pid: int, proc: str, holds: Holds, max_hold: float) -> Rollup:
    """Return the memory of a process; arguments and errors as for read_rollup_text()."""
    status, sizes, text = read_rollup_text(pid, proc, holds, max_hold)
    amounts = _amounts(text, sizes["VmSize"]) if sizes and text else None
    return Rollup(_command(status), sizes, amounts)


def read_rollup_text(pid: int, proc: str, holds: Holds, max_hold: float) -> RollupText:
    """Return the kernel's smaps_rollup of a process, and its status.

    Args:
        pid: The process.
        proc: Where procfs is mounted.
        holds: Makes the call that holds the lock.
        max_hold: Seconds that it may hold it; 0 to read only the sizes.

    Raises:
        OSError: ENOENT or ESRCH if it is gone; EACCES or EPERM if we may not look at it; ETIMEDOUT
            if the look has no time left.
    """
    path = f"{proc}/{pid}"
    check_time(path)
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:  # all is read through one directory, so it belongs to one process
        status = _read(directory, "status")
        told = _sizes(status)
        if "VmRSS" not in told:
            return RollupText(status, None, b"")
        sizes = NO_SIZES | told
        if walk_ns(sizes) >= max_hold * 1e9 and not (max_hold and is_own(pid, proc)):
            return RollupText(status, sizes, b"")
        return RollupText(status, sizes, _read(directory, "smaps_rollup", holds))
    finally:
        os.close(directory)


def is_own(pid: int, proc: str) -> bool:
    """Return whether it is this process: then we block only ourselves."""
    return pid == os.getpid() and same_pids(proc)


def _command(status: bytes) -> bytes:
    """Return the name without the kernel's escapes of newlines and backslashes."""
    name = status[: status.index(b"\n")].removeprefix(b"Name:\t")
    return _ESCAPED.sub(lambda found: b"\n" if found[1] == b"n" else found[1], name)


def _sizes(status: bytes) -> dict[str, int]:
    return {name.decode(): int(kib) << 10 for name, kib in _SIZE.findall(status)}


def _read(directory: int, name: str, holds: Holds | None = None) -> bytes:
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        if holds is None:
            return os.read(fd, _TEXT_SIZE)
        return holds.make(partial(os.read, fd, _TEXT_SIZE))
    finally:
        os.close(fd)


def _amounts(text: bytes, size: int) -> Amounts:
    """Return the sums in a text; a field that this kernel lacks is left out."""
    told = dict(_FIELD.findall(text))
    sums: dict[str, Any] = {}
    for name, parts in _PARTS:
        if parts[0] in told:
            sums[name] = sum([int(told.get(part, 0)) for part in parts]) << 10
    return Amounts(None, size, **sums)
