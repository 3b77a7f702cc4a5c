"""What an open file of this process is to the engine: everything as the kernel says it."""

import fcntl
import os
import stat
import struct
from pathlib import Path

from untorn.mm.file import MAX_LFS_FILESIZE, VmFile
from untorn.mm.filemap import AddressSpace

_FS_IOC_GETFLAGS, FS_APPEND_FL = 0x8008_6601, 0x20
DISKS = "ext4", "xfs"
_ST_NOEXEC = 8
_ZERO = os.makedev(1, 5)
"""Source: Documentation/admin-guide/devices.txt."""


def vm_file_of(fd: int) -> VmFile:
    """Return what an open file is to the engine.

    Source: fstat(2), fstatvfs(3), ioctl_fs(2), proc_pid_mountinfo(5).
    """
    status = os.fstat(fd)
    access = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
    path = str(Path(f"/proc/self/fd/{fd}").readlink())
    on_disk = is_disk(status.st_dev)
    in_memory = _file_system(status.st_dev) == "tmpfs" or path.startswith("/memfd:")
    is_zero = stat.S_ISCHR(status.st_mode) and status.st_rdev == _ZERO
    is_file = stat.S_ISREG(status.st_mode) and not path.startswith("/proc/")
    return VmFile(
        os.fsencode(path),
        os.major(status.st_dev),
        os.minor(status.st_dev),
        status.st_ino,
        MAX_LFS_FILESIZE if is_zero else status.st_size,
        readable=access != os.O_WRONLY,
        writable=access != os.O_RDONLY,
        append_only=bool(inode_attributes(fd) & FS_APPEND_FL),
        noexec=bool(os.fstatvfs(fd).f_flag & _ST_NOEXEC) or path.startswith("/proc/"),
        huge_aligned=on_disk,
        refuses_sync=on_disk,
        can_mmap=is_file or is_zero,
        is_zero=is_zero,
        mapping=AddressSpace(shmem=in_memory),
    )


def is_disk(device: int) -> bool:
    """Say whether a file system, by its st_dev, is one of those on disks that the engine models."""
    return _file_system(device) in DISKS


def _file_system(device: int) -> str:
    """Return the type of the file system mounted from a device, "" if that is not known."""
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, source = line.partition(" - ")
        if mount.split()[2] == number:
            return source.split()[0]
    return ""


def inode_attributes(fd: int) -> int:
    """Return the inode's attributes; 0 where the file system keeps none."""
    try:
        return int(struct.unpack("I", fcntl.ioctl(fd, _FS_IOC_GETFLAGS, bytes(4)))[0])
    except OSError:
        return 0
