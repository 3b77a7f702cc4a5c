"""Real files, and what the engine is told of them: everything as the kernel says it."""

import fcntl
import os
import stat
import struct
from pathlib import Path

from untorn.mm.file import VmFile

FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_APPEND_FL = 0x8008_6601, 0x4008_6602, 0x20
ST_NOEXEC = 8


def vm_file(path: Path, flags: int) -> VmFile:
    """Return what open() of a path with these O_* flags is to the engine."""
    fd = os.open(path, flags)
    try:
        return vm_file_of(fd)
    finally:
        os.close(fd)


def vm_file_of(fd: int) -> VmFile:
    """Return what an open file is to the engine."""
    status = os.fstat(fd)
    access = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
    path = str(Path(f"/proc/self/fd/{fd}").readlink())
    return VmFile(
        os.fsencode(path),
        os.major(status.st_dev),
        os.minor(status.st_dev),
        status.st_ino,
        status.st_size,
        readable=access != os.O_WRONLY,
        writable=access != os.O_RDONLY,
        append_only=bool(attributes(fd) & FS_APPEND_FL),
        noexec=bool(os.fstatvfs(fd).f_flag & ST_NOEXEC) or path.startswith("/proc/"),
        huge_aligned=file_system(status.st_dev) in ("ext4", "xfs"),
        can_mmap=stat.S_ISREG(status.st_mode) and not path.startswith("/proc/"),
    )


def file_system(device: int) -> str:
    """Return the type of the file system mounted from a device, "" if that is not known."""
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, source = line.partition(" - ")
        if mount.split()[2] == number:
            return source.split()[0]
    return ""


def attributes(fd: int) -> int:
    """Return the inode's attributes; 0 where the file system keeps none."""
    try:
        return int(struct.unpack("I", fcntl.ioctl(fd, FS_IOC_GETFLAGS, bytes(4)))[0])
    except OSError:
        return 0


def set_append_only(path: Path, on: bool) -> None:
    """Do chattr +a or -a.

    Raises:
        OSError: EPERM without CAP_LINUX_IMMUTABLE, ENOTTY or EOPNOTSUPP on another file system.
    """
    fd = os.open(path, os.O_RDONLY)
    try:
        new = attributes(fd) & ~FS_APPEND_FL | (FS_APPEND_FL if on else 0)
        fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack("I", new))
    finally:
        os.close(fd)
