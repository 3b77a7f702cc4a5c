"""What a capability allows in another user namespace. See user_namespaces(7), ioctl_ns(2)."""

import fcntl
import os
import struct
from typing import NamedTuple

from untorn.serve.caller.rights import Rights, UserNamespace

CAP_SYS_PTRACE = 1 << 19
_INITIAL = 0xEFFFFFFD  # inode; include/linux/proc_ns.h:PROC_USER_INIT_INO
_NS_GET_PARENT, _NS_GET_OWNER_UID = 0xB702, 0xB704


class _Level(NamedTuple):
    user_namespace: UserNamespace
    owner: int
    """User ID of its creator."""


def may_trace_across(asker: Rights, directory: int) -> bool:
    """Return whether a capability lets one process read what ptrace's check guards in another.

    This is for two processes that are not both in our user namespace, where we cannot ask the
    kernel in the asker's place. It applies the kernel's rule if we know what that needs, and
    refuses otherwise:

    - The asker has CAP_SYS_PTRACE in a user namespace that the other is in, or in one above it; or
      it created one of these, as seen from its own.
    - If the other is not dumpable, that must also hold for the namespace in which its program was
      started. /proc shows of that namespace only its root, as the owner of the files. So we refuse
      if the files are root's, if our namespace is not the initial one, or if the capability does
      not cover a whole namespace directly below ours.

    Source: kernel/ptrace.c:__ptrace_may_access(), security/commoncap.c:cap_capable().

    Args:
        asker: The asker's rights.
        directory: The other's directory in procfs.

    Raises:
        OSError: ESRCH or ENOENT if the other is gone.
    """
    levels = _levels(directory)
    if len(levels) < 2 or os.stat("stat", dir_fd=directory).st_uid == 0:
        return False
    below, ours = levels[-2:]
    if ours.user_namespace[1] != _INITIAL:
        return False
    if asker.user_namespace == below.user_namespace:
        return bool(asker.effective & CAP_SYS_PTRACE)
    return asker.user_namespace == ours.user_namespace and asker.uids.effective == below.owner


def _levels(directory: int) -> list[_Level]:
    """Return the user namespace of a process and those above it, as far as we may see them."""
    levels = []
    user_namespace = os.open("ns/user", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    while True:
        try:
            found = os.fstat(user_namespace)
            owner = fcntl.ioctl(user_namespace, _NS_GET_OWNER_UID, bytes(4))
            levels.append(_Level((found.st_dev, found.st_ino), *struct.unpack("I", owner)))
            parent = _parent(user_namespace)
        finally:
            os.close(user_namespace)
        if parent is None:
            return levels
        user_namespace = parent


def _parent(user_namespace: int) -> int | None:
    try:
        return fcntl.ioctl(user_namespace, _NS_GET_PARENT)
    except PermissionError:  # it is not above ours, or there is none
        return None
