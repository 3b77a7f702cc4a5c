"""Which open file a traced thread's descriptor is: the same one as in an earlier mmap?

VMAs merge only if they map the same open file. So we keep a descriptor of each mapped file, made by
pidfd_getfd(2), to compare by kcmp(2). We close it with the last VMA that maps the file: until then
the VMA itself holds the open file, so keeping it changes nothing.
"""

import ctypes
import errno
import os
import re
import stat
from pathlib import Path

from untorn.conform.program.processes import Thread
from untorn.conform.traced.open_file import file_facts, vm_file
from untorn.errors import NotModelledError, os_error
from untorn.fs.from_maps.files import is_of_driver
from untorn.maps.fields import Device
from untorn.maps.page import PMD_SIZE, PUD_SIZE
from untorn.mm.file import VmFile
from untorn.reader.files.found_file import FoundFile
from untorn.reader.files.mounts import read_mounts

_PIDFD_GETFD, _KCMP, _KCMP_FILE = 438, 312, 0
_NUMBER = re.compile(r":(\[\d+\]|\d+)$")
"""In what /proc/PID/fd shows for a socket, or for the memory of a virtual CPU."""
_libc = ctypes.CDLL(None, use_errno=True)


class OpenFiles:
    """The open files that the program's VMAs map, or are about to map."""

    def __init__(self) -> None:
        self._kept: dict[VmFile, int] = {}
        self._asked: dict[Thread, VmFile] = {}

    def of(self, thread: Thread, fd: int) -> VmFile | None:
        """Return the open file of a thread's descriptor; None if it has no such descriptor.

        We keep it at least until settle().

        Raises:
            NotModelledError: It belongs to a device, a ring or the like.
        """
        try:
            ours = _system_call(_PIDFD_GETFD, thread.pidfd, fd, 0)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            return None
        try:
            file = self._asked[thread] = self._known(ours) or self._new(thread, ours)
            return file
        finally:
            if ours not in self._kept.values():
                os.close(ours)

    def settle(self, thread: Thread) -> bool:
        """Record that a thread has made its call; return whether it asked for a file."""
        return self._asked.pop(thread, None) is not None

    def keep_only(self, used: set[VmFile]) -> None:
        """Close the descriptors of all files but these, and but those of calls under way."""
        for file in self._kept.keys() - used - set(self._asked.values()):
            os.close(self._kept.pop(file))

    def _known(self, ours: int) -> VmFile | None:
        status = os.fstat(ours)
        for file, fd in self._kept.items():
            if file.inode == status.st_ino and _is_same(fd, ours):
                return file
        return None

    def _new(self, thread: Thread, ours: int) -> VmFile:
        _refuse_special(ours)
        file = vm_file(file_facts(ours) | {"device": _device_shown(thread, ours)})
        self._kept[file] = ours
        return file


def _is_same(one: int, other: int) -> bool:
    pid = os.getpid()
    return _system_call(_KCMP, pid, pid, _KCMP_FILE, one, other) == 0


def _device_shown(thread: Thread, fd: int) -> Device:
    """Return the device that maps shows: on btrfs a subvolume has its own st_dev."""
    mounts = read_mounts(f"/proc/{thread.tid}")
    device, _ = FoundFile(fd, b"").shown_as(mounts.device_of)
    return device or Device.of(os.fstat(fd).st_dev)  # memory is mounted nowhere


def _refuse_special(fd: int) -> None:
    """Refuse files with an mmap operation of their own. Source: fstat(2)."""
    status = os.fstat(fd)
    kind = stat.S_IFMT(status.st_mode)
    path = str(Path(f"/proc/self/fd/{fd}").readlink())
    if kind == stat.S_IFDIR or (kind == stat.S_IFCHR and status.st_rdev == os.makedev(1, 5)):
        return
    if kind == stat.S_IFREG and os.fstatvfs(fd).f_bsize in (PMD_SIZE, PUD_SIZE):
        raise NotModelledError("mmap of huge pages")  # no other file system has such blocks
    if kind != stat.S_IFREG or is_of_driver(os.fsencode(path)):
        raise NotModelledError(f"mmap of {_NUMBER.sub('', path)}")


def _system_call(number: int, *arguments: int) -> int:
    result = int(_libc.syscall(ctypes.c_long(number), *map(ctypes.c_ulong, arguments)))
    if result < 0:
        raise os_error(ctypes.get_errno())
    return result
