"""What the engine must know of an open file of this process, all from the kernel."""

import ctypes
import fcntl
import os
import stat
import struct
from pathlib import Path
from typing import Any

from untorn.errors import os_error
from untorn.maps.fields import Device
from untorn.maps.page import ULONG_MAX
from untorn.mm.file import MAX_LFS_FILESIZE, VmFile
from untorn.mm.filemap import AddressSpace

_FS_IOC_GETFLAGS, _FS_IOC_SETFLAGS, FS_APPEND_FL = 0x8008_6601, 0x4008_6602, 0x20
_F_SEAL_FUTURE_WRITE = 0x10
_MAGIC = {0xEF53: "ext4", 0x5846_5342: "xfs", 0x0102_1994: "tmpfs", 0x794C_7630: "overlay"}
DISKS = "ext4", "xfs"
_STATFS_MAX = 256
"""Bytes; more than the size of struct statfs."""
_ST_NOEXEC = 8
_ZERO = os.makedev(1, 5)
"""Source: Documentation/admin-guide/devices.txt."""

_libc = ctypes.CDLL(None, use_errno=True)


def vm_file(facts: dict[str, Any]) -> VmFile:
    """Return a file of the engine from file_facts() of a real one."""
    return VmFile(
        **facts
        | {
            "path": os.fsencode(facts["path"]),
            "device": Device(*facts["device"]),
            "mapping": AddressSpace(shmem=facts["mapping"]),
        }
    )


def file_facts(fd: int) -> dict[str, Any]:
    """Return what the engine must know of an open file, as JSON values.

    For its mapping, whether it is shmem; the rest are fields of VmFile.

    Source: fstat(2), fstatvfs(3), ioctl_fs(2).
    """
    status = os.fstat(fd)
    access = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
    path = str(Path(f"/proc/self/fd/{fd}").readlink())
    kind = file_system(fd)
    on_disk = kind in DISKS
    signed = any(is_one(status.st_mode) for is_one in (stat.S_ISREG, stat.S_ISBLK, stat.S_ISSOCK))
    is_zero = stat.S_ISCHR(status.st_mode) and status.st_rdev == _ZERO
    is_file = stat.S_ISREG(status.st_mode) and not path.startswith("/proc/")
    return {
        "path": path,
        "device": Device.of(status.st_dev),
        "inode": status.st_ino,
        "size": MAX_LFS_FILESIZE if is_zero else status.st_size,
        "mmap_size_max": MAX_LFS_FILESIZE if signed else ULONG_MAX,
        "readable": access != os.O_WRONLY,
        "writable": access != os.O_RDONLY,
        "append_only": bool(inode_attributes(fd) & FS_APPEND_FL),
        "noexec": bool(os.fstatvfs(fd).f_flag & _ST_NOEXEC) or path.startswith("/proc/"),
        "huge_aligned": on_disk,
        "refuses_sync": on_disk and stat.S_ISREG(status.st_mode),
        "write_sealed": is_write_sealed(fd),
        "stacked": kind == "overlay",
        "can_mmap": is_file or is_zero,
        "is_zero": is_zero,
        "mapping": kind == "tmpfs",
    }


def file_system(fd: int) -> str:
    """Return the file system type of an open file; "" if it is none of those that matter.

    Source: statfs(2), its first field; linux/magic.h.
    """
    answer = ctypes.create_string_buffer(_STATFS_MAX)
    if _libc.fstatfs(fd, answer):
        raise os_error(ctypes.get_errno())
    return _MAGIC.get(ctypes.c_ulong.from_buffer(answer).value, "")


def file_system_at(path: Path) -> str:
    """Return the same for a file or directory that can be opened for reading."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return file_system(fd)
    finally:
        os.close(fd)


def is_write_sealed(fd: int) -> bool:
    """Return whether an open file is sealed against writing. Source: fcntl(2), File Sealing."""
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:
        return False
    return bool(seals & (fcntl.F_SEAL_WRITE | _F_SEAL_FUTURE_WRITE))


def inode_attributes(fd: int) -> int:
    """Return the inode's attributes; 0 if the file system has none."""
    try:
        return int(struct.unpack("I", fcntl.ioctl(fd, _FS_IOC_GETFLAGS, bytes(4)))[0])
    except OSError:
        return 0


def set_append_only(fd: int, on: bool = True) -> None:
    """Do chattr +a or -a on an open file.

    Raises:
        OSError: EPERM without CAP_LINUX_IMMUTABLE, ENOTTY or EOPNOTSUPP on another file system.
    """
    new = inode_attributes(fd) & ~FS_APPEND_FL | (FS_APPEND_FL if on else 0)
    fcntl.ioctl(fd, _FS_IOC_SETFLAGS, struct.pack("I", new))
