"""Real files for tests, and what the engine is told of them."""

import fcntl
import os
import struct
from pathlib import Path

from untorn.live.open_file import FS_APPEND_FL, inode_attributes, vm_file_of
from untorn.mm.file import VmFile

FS_IOC_SETFLAGS = 0x4008_6602


def vm_file(path: Path, flags: int) -> VmFile:
    """Return what open() of a path with these O_* flags is to the engine."""
    fd = os.open(path, flags)
    try:
        return vm_file_of(fd)
    finally:
        os.close(fd)


def set_append_only(path: Path, on: bool) -> None:
    """Do chattr +a or -a.

    Raises:
        OSError: EPERM without CAP_LINUX_IMMUTABLE, ENOTTY or EOPNOTSUPP on another file system.
    """
    fd = os.open(path, os.O_RDONLY)
    try:
        new = inode_attributes(fd) & ~FS_APPEND_FL | (FS_APPEND_FL if on else 0)
        fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack("I", new))
    finally:
        os.close(fd)
