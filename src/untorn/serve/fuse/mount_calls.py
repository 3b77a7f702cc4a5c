"""The system calls that mount and unmount.

Those that old glibc lacks are made by number, which is the same on every machine.

Source: mount(2), umount2(2), open_tree(2), move_mount(2), mount_setattr(2), fsopen(2), fsmount(2).
"""

import ctypes
import os
import struct

from untorn.errors import os_error

MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
_MNT_DETACH = 2
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE, _OPEN_TREE_CLONE = 428, 1
_MOVE_MOUNT, _MOVE_MOUNT_F_EMPTY_PATH = 429, 4
_MOUNT_SETATTR, _MS_SLAVE = 442, 1 << 19
_MOUNT_ATTR = "QQQQ"
"""What to set, what to clear, propagation, user namespace."""
_FSOPEN, _FSOPEN_CLOEXEC = 430, 1
_FSCONFIG, _FSCONFIG_CMD_CREATE = 431, 6
_FSMOUNT, _FSMOUNT_CLOEXEC = 432, 1

_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, point: str, type_: str, flags: int, data: str) -> None:
    """Mount a file system; arguments and errors are those of the system call."""
    texts = [os.fsencode(text) for text in (source, point, type_, data)]
    arguments = *texts[:3], ctypes.c_ulong(flags), texts[3]
    if _libc.mount(*arguments):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), point)


def detach(point: str) -> None:
    """Remove a mount, and all that is mounted on it, from the tree, even if it is in use.

    Raises:
        OSError: As umount2(2) for MNT_DETACH.
    """
    if _libc.umount2(os.fsencode(point), _MNT_DETACH):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), point)


def bind_as_slave(source: str, point: str) -> None:
    """Mount a tree of mounts at a second place, so that unmounts there do not affect the first.

    It becomes a slave before it is visible: a bind mount of a shared tree is shared at first, and
    detaching it would also detach what is mounted on the original.

    Raises:
        OSError: As open_tree(2), mount_setattr(2) and move_mount(2); ENOSYS before Linux 5.12.
    """
    clone = _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_RECURSIVE
    tree = _call(_OPEN_TREE, _AT_FDCWD, os.fsencode(source), clone)
    try:
        slave = struct.pack(_MOUNT_ATTR, 0, 0, _MS_SLAVE, 0)
        everywhere = _AT_EMPTY_PATH | _AT_RECURSIVE
        _call(_MOUNT_SETATTR, tree, b"", everywhere, slave, len(slave))
        place = _AT_FDCWD, os.fsencode(point), _MOVE_MOUNT_F_EMPTY_PATH
        _call(_MOVE_MOUNT, tree, b"", *place)
    finally:
        os.close(tree)


def open_unmounted(type_: str) -> int:
    """Return a descriptor, for dir_fd, of the root of a file system that is mounted nowhere.

    Raises:
        OSError: As fsopen(2) and fsmount(2): EPERM if we may not mount it, ENODEV if the kernel
            does not know it.
    """
    context = _call(_FSOPEN, type_.encode(), _FSOPEN_CLOEXEC)
    try:
        _call(_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0)
        return _call(_FSMOUNT, context, _FSMOUNT_CLOEXEC, 0)
    finally:
        os.close(context)


def _call(number: int, *arguments: int | bytes | None) -> int:
    passed = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result = int(_libc.syscall(ctypes.c_long(number), *passed))
    if result == -1:
        raise os_error(ctypes.get_errno())
    return result
