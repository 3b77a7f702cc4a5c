"""What /proc tells of a thread's rights: of one that asks, or of one that is asked about.

Ids are those of our user namespace; one that it does not have is shown as that of nobody (65534).
"""

import os
import re
from typing import NamedTuple

_STATUS = re.compile(
    rb"\nTgid:\t(\d+)\n.*"
    rb"\nUid:\t(\d+)\t(\d+)\t(\d+)\t(\d+)\nGid:\t(\d+)\t(\d+)\t(\d+)\t(\d+)\n.*"
    rb"\nGroups:\t([\d ]*)\n.*\nCapPrm:\t(\w+)\nCapEff:\t(\w+)\n",
    re.DOTALL,
)
UserNamespace = tuple[int, int]
"""Device and inode: the same as long as somebody is in it."""


class Ids(NamedTuple):
    """User or group ids."""

    real: int
    effective: int
    saved: int
    file_system: int


class Rights(NamedTuple):
    """What a thread had when it was looked at."""

    tgid: int
    uids: Ids
    gids: Ids
    groups: tuple[int, ...]
    """Supplementary groups, sorted."""
    permitted: int
    """Capabilities, a bit each."""
    effective: int
    user_namespace: UserNamespace


def rights_of(directory: int) -> Rights:
    """Return those of the thread with this directory of procfs, as PID or PID/task/TID.

    Raises:
        OSError: ESRCH or ENOENT if it is gone; EACCES where we may not know its user namespace.
    """
    status = os.open("status", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        text = b"".join(iter(lambda: os.read(status, 1 << 16), b""))
    finally:
        os.close(status)
    found = _STATUS.search(text)
    assert found, f"what is this of /proc/PID/status? {text!r}"
    tgid, *ids = map(int, found.groups()[:9])
    return Rights(
        tgid,
        Ids(*ids[:4]),
        Ids(*ids[4:]),
        tuple(sorted(map(int, found[10].split()))),
        int(found[11], 16),
        int(found[12], 16),
        user_namespace_of(directory),
    )


def user_namespace_of(directory: int) -> UserNamespace:
    """Return which one a thread is in. Raises OSError as rights_of()."""
    found = os.stat("ns/user", dir_fd=directory)
    return found.st_dev, found.st_ino
