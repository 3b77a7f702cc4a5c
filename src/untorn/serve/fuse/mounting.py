"""Put our file system into the tree of mounts, and take it out.

A mount is identified by its source, a unique word: one look at mountinfo finds it, which asks no
file system and so never waits. Copies that bind mounts made have the same source.
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
    """Return a source for one mount, such as untorn:5f0c9a31."""
    return f"untorn:{os.urandom(4).hex()}"


def mount_fuse(directory: str, source: str) -> int:
    """Mount a file system of ours on a directory.

    If we may not mount, fusermount3 does it. Then other users may enter only if /etc/fuse.conf
    allows that (user_allow_other).

    Args:
        directory: Prepared by clear_directory().
        source: From new_source().

    Returns:
        The descriptor to serve it with.

    Raises:
        OSError: ENOENT, ENOTDIR or EACCES for the directory; ENOENT, ENODEV, EPERM or EACCES for
            /dev/fuse; EPERM if we may not mount, and fusermount3 does not do it either.
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
        point: A directory of our file system, which is being served: the kernel looks it up.

    Raises:
        OSError: EPERM without CAP_SYS_ADMIN, ENOSYS before Linux 5.12.
    """
    bind_as_slave(proc, point)


def clear_directory(directory: str) -> None:
    """Unmount from a directory what a dead server left there.

    Raises:
        OSError: ENOENT, ENOTDIR or EACCES for the directory; EBUSY if a living untorn is mounted
            there; EPERM if we may not unmount a dead one; EINVAL for a directory of a procfs other
            than its root: the server looks there itself.
    """
    while (there := _mount_at(directory)) and _is_dead(directory):
        if there.type != _TYPE:
            _detach(os.fsdecode(there.point), directory)
        elif left := detach_all(os.fsdecode(there.source)):
            raise OSError(errno.EPERM, "a dead mount cannot be unmounted", left[0])
    if not Path(directory).is_dir():
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), directory)
    if there and there.type == _TYPE:
        raise OSError(errno.EBUSY, "untorn is already mounted there", directory)
    whole, _ = _mount_of(directory)
    if there is None and whole is not None and whole.type == "proc":
        raise OSError(errno.EINVAL, "it is in a procfs; choose a directory elsewhere", directory)


def detach_all(source: str, proc: str = "/proc") -> list[str]:
    """Detach a mount of ours and its copies, with all that is mounted on them.

    This covers the mount namespace of this process only. Nothing else is detached: mounts below
    ours in the stack, or over a directory on the path to ours, stay.

    Args:
        source: Source of the mount.
        proc: The procfs; a relative path if our mount may cover /proc.

    Returns:
        Where it is still mounted: we may not detach it, or something covers the path.
    """
    while any(_detach_if_ours(point, source, proc) for point in mount_points(source, proc)):
        pass  # the mounts have changed: look again
    return mount_points(source, proc)


def mount_points(source: str, proc: str = "/proc") -> list[str]:
    """Return where a mount of ours and its copies are; arguments as for detach_all()."""
    mounts = _mounts(proc).values()
    return [os.fsdecode(each.point) for each in mounts if each.source == source.encode()]


def minor_of(source: str, proc: str = "/proc") -> int | None:
    """Return the minor number of our mount's device; None if it is not mounted."""
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
    """Return the mount whose root a directory is; None if there is none."""
    there, path = _mount_of(directory)
    return there if there and there.point == path else None


def _mount_of(directory: str) -> tuple[Mount | None, bytes]:
    """Return the mount that a directory belongs to, None if unknown, and the directory's path."""
    fd = os.open(directory, os.O_PATH | os.O_CLOEXEC)
    try:
        there = _mounts("/proc").get(_mount_number(fd, "/proc"))
        path = os.fsencode(Path(f"/proc/self/fd/{fd}").readlink())
    finally:
        os.close(fd)
    return there, path


def _detach_if_ours(point: str, source: str, proc: str) -> bool:
    """Detach the top mount at a point if it is ours or stands on ours; return whether it was.

    It works on a descriptor, so that exactly the mount that was checked is detached.
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
    """Return whether a mount, or any mount that it stands on, has this source."""
    there = mounts.get(number)
    while there and there.source != source:
        there = mounts.get(there.parent) if there.parent != there.number else None
    return there is not None


def _detach(point: str, place: str) -> None:
    """Detach a mount; let fusermount3 do it if we may not."""
    try:
        detach(place)
    except PermissionError:
        if subprocess.run([HELPER, "-u", "-z", "-q", "--", point], check=False).returncode:
            raise


def _mount_number(fd: int, proc: str) -> int:
    """Return the mnt_id of the mount of an open file. Source: proc_pid_fdinfo(5)."""
    lines = (Path(proc) / "self/fdinfo" / str(fd)).read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("mnt_id:")))
