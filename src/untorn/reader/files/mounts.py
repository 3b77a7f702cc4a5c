"""Which file systems are mounted, and which of them answer by themselves.

A look at a file of a network file system, or of one that a process serves (FUSE), can wait for
somebody who never answers. So we only look where the kernel answers without asking anybody: on
the file systems that the table below knows to be local.

Source: proc_pid_mountinfo(5), proc_filesystems(5).
"""

import ctypes
import mmap
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple, Self

from untorn.maps.fields import Device

"""Major and minor number of a file system, as maps and mountinfo show it."""
_IN_MEMORY = {"tmpfs", "ramfs", "devtmpfs", "rootfs", "hugetlbfs"}
_OVER_OTHERS = {"overlay"}
_ON_DISKS = {"zfs", "ubifs", "jffs2", "bcachefs"}
"""Of those that need no block device; those that do are local, with these exceptions:"""
_NOT_LOCAL = {"fuseblk", "gfs2", "ocfs2"}

_LINE = re.compile(rb"(\d+) (\d+) (\d+):(\d+) [^ ]+ ([^ ]+) .*? - ([^ ]+) ([^ ]*) ?(.*)", re.DOTALL)
_LAYERS = re.compile(rb"\b(?:lowerdir|upperdir|datadir)\+?=([^,]*)")
_PAGE_SIZE, _SHIFTS = re.compile(rb"\bpagesize=(\d+)([KMG])"), {b"K": 10, b"M": 20, b"G": 30}


class Mount(NamedTuple):
    """One line of mountinfo."""

    number: int
    """Its mnt_id, which no other mount of this machine has."""
    parent: int
    """The mnt_id of the mount that it is mounted on."""
    device: Device
    point: bytes
    """Where it is mounted, as seen from the root of the process."""
    type: str
    source: bytes
    """What is mounted, in the words of the file system."""
    page_size: int
    """Bytes of its huge pages; 0 if it has none (hugetlbfs has)."""
    layers: tuple[bytes, ...]
    """Where the layers of an overlay lie, as seen by whoever mounted it."""


class Mounts:
    """The mounts that a process sees."""

    def __init__(self, mounts: list[Mount]) -> None:
        self._mounts = {mount.device: mount for mount in mounts}
        self._points = {mount.point.rstrip(b"/"): mount.type for mount in mounts}
        self._devices = {mount.number: mount.device for mount in mounts}

    @classmethod
    def of_lines(cls, lines: list[bytes]) -> Self:
        """Return the mounts of the lines of a mountinfo; what is no such line is left out."""
        return cls([mount for line in lines if (mount := parse_mount(line))])

    def device_of(self, number: int) -> Device | None:
        """Return the device of the mount with this mnt_id; None if it is not among these."""
        return self._devices.get(number)

    def type_of(self, device: Device) -> str | None:
        """Return the type of the file system of a device; None if it is not mounted here."""
        mount = self._mounts.get(device)
        return mount and mount.type

    def layers_of(self, device: Device) -> tuple[bytes, ...]:
        """Return where the layers of an overlay lie; none of another file system."""
        mount = self._mounts.get(device)
        return mount.layers if mount else ()

    def page_size_of(self, device: Device) -> int:
        """Return the bytes of the huge pages of files on a device; 0 if they have none."""
        mount = self._mounts.get(device)
        return mount.page_size if mount else 0

    def way_is_local(self, path: bytes) -> bool:
        """Tell whether a walk to an absolute path is known to meet local file systems only."""
        return b"" in self._points and all(
            is_local(self._points[part]) for part in _parents(path) if part in self._points
        )


def read_mounts(place: str) -> Mounts:
    """Return the mounts that the process at a directory of /proc sees; none if it may not be read.

    Args:
        place: Such as /proc/self.
    """
    with suppress(OSError):
        return Mounts.of_lines((Path(place) / "mountinfo").read_bytes().split(b"\n"))
    return Mounts([])


def parse_mount(line: bytes) -> Mount | None:
    """Return the mount that a line of mountinfo tells of; None if it is no such line."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    number, parent, major, minor, point, type_, source, options = match.groups()
    size = _PAGE_SIZE.search(options)
    return Mount(
        int(number),
        int(parent),
        Device(int(major), int(minor)),
        _unescaped(point),
        type_.decode("ascii", "replace"),
        _unescaped(source),
        int(size[1]) << _SHIFTS[size[2]] if size and type_ == b"hugetlbfs" else 0,
        tuple(
            _unescaped(layer) for layers in _LAYERS.findall(options) for layer in layers.split(b":")
        )
        if type_ == b"overlay"
        else (),
    )


@cache
def is_local(type_: str) -> bool:
    """Tell whether a file system of this type answers without asking another machine or process."""
    if type_ in _NOT_LOCAL:
        return False
    return type_ in _IN_MEMORY | _OVER_OTHERS | _ON_DISKS or type_ in _block_device_types()


@cache
def memory_devices() -> Mapping[Device, int]:
    """Return the devices of memory that is a file to the kernel, but lies in no directory.

    That of memfd_create(2), shmat(2), shared anonymous memory, and huge pages of all these: each
    kind is one file system that is mounted nowhere, which a file of our own there tells.

    Returns:
        By device, the bytes of its pages.
    """
    found = {_device_of_shmem(): mmap.PAGESIZE}
    for shift in range(16, 35):  # 64 KiB to 16 GiB, the sizes that there are
        with suppress(OSError):
            found[_device_of_own(os.MFD_HUGETLB | shift << 26)] = 1 << shift
    return found


def _device_of_shmem() -> Device:
    """Return it also where a filter of system calls refuses memfd_create(2)."""
    with suppress(OSError):
        return _device_of_own(0)
    with mmap.mmap(-1, mmap.PAGESIZE) as shared:
        addr = ctypes.addressof(ctypes.c_char.from_buffer(shared))
        lines = Path("/proc/self/maps").read_bytes().split(b"\n")
        line = next(each for each in lines if int(each.partition(b"-")[0], 16) == addr)
    major, _, minor = line.split()[3].partition(b":")
    return Device(int(major, 16), int(minor, 16))


def _device_of_own(flags: int) -> Device:
    fd = os.memfd_create("untorn", os.MFD_CLOEXEC | flags)
    try:
        return Device.of(os.fstat(fd).st_dev)
    finally:
        os.close(fd)


@cache
def _block_device_types() -> frozenset[str]:
    lines = Path("/proc/filesystems").read_text().splitlines()
    return frozenset(line.strip() for line in lines if not line.startswith("nodev"))


def _unescaped(path: bytes) -> bytes:
    """Return a path with its blanks, tabs, newlines and backslashes, which are shown as octal."""
    head, *rest = path.split(b"\\")
    return head + b"".join(bytes([int(part[:3], 8)]) + part[3:] for part in rest)


def _parents(path: bytes) -> Iterator[bytes]:
    """Yield what stands before each slash of a path, the root as an empty one, and the path."""
    at = path.find(b"/")
    while at >= 0:
        yield path[:at]
        at = path.find(b"/", at + 1)
    yield path.rstrip(b"/")
