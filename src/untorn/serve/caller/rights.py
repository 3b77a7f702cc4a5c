"""What /proc shows of a thread's rights: of a caller, or of a thread that it asks about.

IDs are those of our user namespace; one that it lacks is shown as NOBODY.
"""

import errno
import os
from typing import NamedTuple

from untorn.maps.page import PAGE_SIZE

NOBODY = 65534
"""User and group ID. See user_namespaces(7), "Unmapped user and group IDs"."""
UserNamespace = tuple[int, int]
"""Device and inode; they stay the same as long as a process is in it."""


_UNCONFINED = {b"", b"unconfined"}
_UNCONFINED_TYPES = {b"unconfined_t", b"unconfined_service_t"}


class Ids(NamedTuple):
    """User or group IDs."""

    real: int
    effective: int
    saved: int
    file_system: int


class Rights(NamedTuple):
    """What a thread had when we looked."""

    tgid: int
    uids: Ids
    gids: Ids
    groups: tuple[int, ...]
    """Supplementary groups, sorted."""
    effective: int
    """Capabilities, one bit each."""
    user_namespace: UserNamespace


def rights_of(folder: int, thread: str = ".") -> Rights:
    """Return the rights of a thread.

    Args:
        folder: A descriptor of procfs, or of a directory in it.
        thread: Path of the thread's directory from there, as PID or PID/task/TID.

    Raises:
        OSError: ESRCH or ENOENT if it is gone; EACCES if we may not know its user namespace.
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
    """Return the user namespace of a thread. Arguments and errors as for rights_of()."""
    found = os.stat(f"{thread}/ns/user", dir_fd=folder)
    return found.st_dev, found.st_ino


def label_of(folder: int, thread: str = ".") -> bytes:
    """Return a thread's security label, b"" if it has none.

    Arguments and errors as for rights_of().
    """
    try:
        return text_of(folder, f"{thread}/attr/current").rstrip(b"\n\0")
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):  # ENOENT: no module with labels exists
            raise
        return b""


def text_of(folder: int, path: str) -> bytes:
    """Return the contents of a file of procfs. Raises OSError as open(2) and read(2) do."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        return b"".join(iter(lambda: os.read(file, PAGE_SIZE), b""))
    finally:
        os.close(file)


def is_unconfined(label: bytes) -> bool:
    """Return whether a security module refuses nothing to this label.

    AppArmor's label is the name of a profile; SELinux's is user:role:type:range.
    """
    parts = label.split(b":")
    return label in _UNCONFINED or (len(parts) > 3 and parts[2] in _UNCONFINED_TYPES)


def _field(status: bytes, name: bytes) -> bytes:
    return status.partition(b"\n%b:\t" % name)[2].partition(b"\n")[0]
