"""Our file system, put into the tree of mounts and taken out of it.

A mount is known by its source, a word that no other has: it is told apart from all others by one
look at mountinfo, which asks no file system anything and so never waits. Copies that bind mounts
made have the same source.
"""

import errno
import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from untorn.reader.files.mounts import Mount, parse_mount
from untorn.serve.fuse.mount_calls import (
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    bind_as_slave,
    detach,
    mount,
)

_SUBTYPE = "untorn"
_TYPE = f"fuse.{_SUBTYPE}"
DEVICE = "/dev/fuse"
HELPER = "fusermount3"


def new_source() -> str:
    """Return a source for one mount: it looks like untorn:5f0c9a31."""
    return f"untorn:{os.urandom(4).hex()}"


def mount_fuse(directory: str, source: str) -> int:
    """Mount a file system of ours on a directory.

    Who may not mount gets it by fusermount3. Then others may enter only if /etc/fuse.conf lets
    them (user_allow_other).

    Args:
        directory: Is prepared by clear_directory().
        source: From new_source().

    Returns:
        The descriptor by which it is served.

    Raises:
        OSError: ENOENT, ENOTDIR or EACCES of the directory; ENOENT, ENODEV, EPERM or EACCES of
            /dev/fuse; EPERM if nobody lets us mount.
    """
    try:
        return _mount_ourselves(directory, source)
    except PermissionError:
        helper = shutil.which(HELPER)
        if helper is None or os.geteuid() == 0:
            raise
    with suppress(PermissionError):
        return _mount_by_helper(
            helper, directory, f"fsname={source},subtype={_SUBTYPE},allow_other"
        )
    return _mount_by_helper(helper, directory, f"fsname={source},subtype={_SUBTYPE}")


def mount_real(proc: str, point: str) -> None:
    """Mount a second view of a procfs, with its options and all that is mounted on it.

    Args:
        proc: The procfs.
        point: A directory of our file system, which is served already: the kernel asks for it.

    Raises:
        OSError: EPERM without CAP_SYS_ADMIN, ENOSYS before Linux 5.12.
    """
    bind_as_slave(proc, point)


def clear_directory(directory: str) -> None:
    """Take off a directory what a server that is dead left mounted there.

    Raises:
        OSError: ENOENT, ENOTDIR or EACCES of the directory; EBUSY if untorn is mounted there and
            lives; EPERM if we may not unmount what is dead.
    """
    while (there := _mount_at(directory)) and _is_dead(directory):
        if there.type != _TYPE:
            _detach(os.fsdecode(there.point), directory)
        elif left := detach_all(os.fsdecode(there.source)):
            raise OSError(errno.EPERM, "a dead mount cannot be unmounted", left[0])
    if not Path(directory).is_dir():
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), directory)
    if there and there.type == _TYPE:
        raise OSError(errno.EBUSY, "untorn is mounted there already", directory)


def detach_all(source: str, proc: str = "/proc") -> list[str]:
    """Detach a mount of ours and its copies, with all that is mounted on them.

    Only the mount namespace of this process is looked at. Nothing else is detached: what lies
    below our mounts, or covers a directory on the way to one, stays.

    Args:
        source: Of the mount.
        proc: The procfs; a relative path if our mount may lie over /proc.

    Returns:
        Where it is mounted still: we may not detach it, or something covers the way.
    """
    while any(_detach_if_ours(point, source, proc) for point in mount_points(source, proc)):
        pass  # what is mounted has changed: look again
    return mount_points(source, proc)


def mount_points(source: str, proc: str = "/proc") -> list[str]:
    """Return where a mount of ours and its copies are, for the arguments of detach_all()."""
    mounts = _mounts(proc).values()
    return [os.fsdecode(each.point) for each in mounts if each.source == source.encode()]


def minor_of(source: str, proc: str = "/proc") -> int | None:
    """Return the minor number of the device of a mount of ours; None if it is not mounted."""
    mounts = _mounts(proc).values()
    return next((each.device.minor for each in mounts if each.source == source.encode()), None)


def _mount_ourselves(directory: str, source: str) -> int:
    fuse = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    try:
        owner = f"user_id={os.geteuid()},group_id={os.getegid()}"
        data = f"fd={fuse},rootmode=40000,{owner},allow_other"
        mount(source, directory, _TYPE, MS_NOSUID | MS_NODEV | MS_NOEXEC, data)
    except OSError:
        os.close(fuse)
        raise
    return fuse


def _mount_by_helper(helper: str, directory: str, options: str) -> int:
    """Return what fusermount3 sends over the socket that _FUSE_COMMFD names.

    Source: libfuse, util/fusermount.c.
    """
    ours, its = socket.socketpair()
    with ours, its:
        done = subprocess.run(
            [helper, "-o", options, "--", directory],
            env={**os.environ, "_FUSE_COMMFD": str(its.fileno())},
            pass_fds=[its.fileno()],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            reason = done.stderr.strip().rpartition("\n")[2] or "fusermount3 failed"
            raise OSError(errno.EPERM, reason, directory)
        _, fds, _, _ = socket.recv_fds(ours, 1, 1)
    return fds[0]


def _is_dead(directory: str) -> bool:
    try:
        Path(directory).stat()
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            return True
        raise
    return False


def _mounts(proc: str) -> Mapping[int, Mount]:
    """Return all mounts of this mount namespace, by mnt_id."""
    lines = (Path(proc) / "self/mountinfo").read_bytes().split(b"\n")
    return {each.number: each for line in lines if (each := parse_mount(line))}


def _mount_at(directory: str) -> Mount | None:
    """Return the mount whose root a directory is; None if it is none's."""
    fd = os.open(directory, os.O_PATH | os.O_CLOEXEC)
    try:
        there = _mounts("/proc").get(_mount_number(fd, "/proc"))
        path = os.fsencode(Path(f"/proc/self/fd/{fd}").readlink())
    finally:
        os.close(fd)
    return there if there and there.point == path else None


def _detach_if_ours(point: str, source: str, proc: str) -> bool:
    """Detach what is on top at a mount point if it is ours or stands on ours; say whether it was.

    By a descriptor, so that what was looked at is what is detached.
    """
    with suppress(OSError):
        fd = os.open(point, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)  # asks no file system
        try:
            if _stands_on(_mount_number(fd, proc), source.encode(), _mounts(proc)):
                _detach(point, f"{proc}/self/fd/{fd}")
                return True
        finally:
            os.close(fd)
    return False


def _stands_on(number: int, source: bytes, mounts: Mapping[int, Mount]) -> bool:
    """Say whether a mount has this source, or one that it is mounted on has, however far down."""
    there = mounts.get(number)
    while there and there.source != source:
        there = mounts.get(there.parent) if there.parent != there.number else None
    return there is not None


def _detach(point: str, place: str) -> None:
    """Detach a mount, by fusermount3 if we may not ourselves."""
    try:
        detach(place)
    except PermissionError:
        if subprocess.run([HELPER, "-u", "-z", "-q", "--", point], check=False).returncode:
            raise


def _mount_number(fd: int, proc: str) -> int:
    """Return the mnt_id of the mount that an open file lies on. Source: proc_pid_fdinfo(5)."""
    lines = (Path(proc) / "self/fdinfo" / str(fd)).read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("mnt_id:")))
