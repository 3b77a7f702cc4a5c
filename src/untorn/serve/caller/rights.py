"""What /proc tells of a thread's rights: of one that asks, or of one that is asked about.

Ids are those of our user namespace; one that it does not have is shown as NOBODY.
"""

import errno
import os
from typing import NamedTuple

from untorn.maps.page import PAGE_SIZE

NOBODY = 65534
"""User and group id. See user_namespaces(7), "Unmapped user and group IDs"."""
UserNamespace = tuple[int, int]
"""Device and inode: the same as long as somebody is in it."""


_UNCONFINED = {b"", b"unconfined"}
_UNCONFINED_TYPES = {b"unconfined_t", b"unconfined_service_t"}


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
    effective: int
    """Capabilities, a bit each."""
    user_namespace: UserNamespace


def rights_of(folder: int, thread: str = ".") -> Rights:
    """Return what a thread has.

    Args:
        folder: A descriptor of procfs, or of a folder in it.
        thread: The thread's folder from there, as PID or PID/task/TID.

    Raises:
        OSError: ESRCH or ENOENT if it is gone; EACCES where we may not know its user namespace.
    """
    status = text_of(folder, f"{thread}/status")
    return Rights(
        int(_field(status, b"Tgid")),
        Ids(*map(int, _field(status, b"Uid").split())),
        Ids(*map(int, _field(status, b"Gid").split())),
        tuple(sorted(map(int, _field(status, b"Groups").split()))),
        int(_field(status, b"CapEff"), 16),
        user_namespace_of(folder, thread),
    )


def user_namespace_of(folder: int, thread: str = ".") -> UserNamespace:
    """Return which one a thread is in. Arguments and errors are those of rights_of()."""
    found = os.stat(f"{thread}/ns/user", dir_fd=folder)
    return found.st_dev, found.st_ino


def label_of(folder: int, thread: str = ".") -> bytes:
    """Return what a security module knows a thread by, b"" without one.

    Arguments and errors are those of rights_of().
    """
    try:
        return text_of(folder, f"{thread}/attr/current").rstrip(b"\n\0")
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):  # the second: no such modules at all
            raise
        return b""


def text_of(folder: int, path: str) -> bytes:
    """Return what is in a file of procfs. Raises OSError as open(2) and read(2) do."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        return b"".join(iter(lambda: os.read(file, PAGE_SIZE), b""))
    finally:
        os.close(file)


def is_unconfined(label: bytes) -> bool:
    """Tell whether a security module refuses nothing for this label.

    AppArmor has the name of a profile; SELinux has user, role, type and range, with colons.
    """
    parts = label.split(b":")
    return label in _UNCONFINED or (len(parts) > 3 and parts[2] in _UNCONFINED_TYPES)


def _field(status: bytes, name: bytes) -> bytes:
    return status.partition(b"\n%b:\t" % name)[2].partition(b"\n")[0]
