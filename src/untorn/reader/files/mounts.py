"""Which file systems are mounted, and which of them the kernel can answer for by itself.

A look at a file on a network file system, or on one that a process serves (FUSE), can wait for a
server that never answers. So we look only where the kernel needs no server: on file systems that
the table below lists as local.

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
"""Local ones that need no block device; those that need one are local, with these exceptions:"""
_NOT_LOCAL = {"fuseblk", "gfs2", "ocfs2"}

_LINE = re.compile(rb"(\d+) (\d+) (\d+):(\d+) [^ ]+ ([^ ]+) .*? - ([^ ]+) ([^ ]*) ?(.*)", re.DOTALL)
_LAYERS = re.compile(rb"\b(?:lowerdir|upperdir|datadir)\+?=([^,]*)")
_PAGE_SIZE, _SHIFTS = re.compile(rb"\bpagesize=(\d+)([KMG])"), {b"K": 10, b"M": 20, b"G": 30}


class Mount(NamedTuple):
    """One line of mountinfo."""

    number: int
    """Its mnt_id, unique on this machine."""
    parent: int
    """The mnt_id of the mount that it is mounted on."""
    device: Device
    point: bytes
    """Where it is mounted, relative to the root of the process."""
    type: str
    source: bytes
    """What is mounted, in the file system's own words."""
    page_size: int
    """Size of its huge pages in bytes; 0 if it has none (hugetlbfs has)."""
    layers: tuple[bytes, ...]
    """Where the layers of an overlay are, as seen by the process that mounted it."""


class Mounts:
    """The mounts that a process sees."""

    def __init__(self, mounts: list[Mount]) -> None:
        self._mounts = {mount.device: mount for mount in mounts}
        self._points = {mount.point.rstrip(b"/"): mount.type for mount in mounts}
        self._devices = {mount.number: mount.device for mount in mounts}

    @classmethod
    def of_lines(cls, lines: list[bytes]) -> Self:
        """Return the mounts in the lines of a mountinfo; other lines are skipped."""
        return cls([mount for line in lines if (mount := parse_mount(line))])

    def device_of(self, number: int) -> Device | None:
        """Return the device of the mount with this mnt_id; None if it is not among these."""
        return self._devices.get(number)

    def type_of(self, device: Device) -> str | None:
        """Return the type of the file system of a device; None if it is not mounted here."""
        mount = self._mounts.get(device)
        return mount and mount.type

    def layers_of(self, device: Device) -> tuple[bytes, ...]:
        """Return where the layers of an overlay are; none for other file systems."""
        mount = self._mounts.get(device)
        return mount.layers if mount else ()

    def page_size_of(self, device: Device) -> int:
        """Return the size in bytes of huge pages of files on a device; 0 if they have none."""
        mount = self._mounts.get(device)
        return mount.page_size if mount else 0

    def way_is_local(self, path: bytes) -> bool:
        """Return whether the walk of an absolute path is known to meet only local file systems."""
        return b"" in self._points and all(
            is_local(self._points[part]) for part in _parents(path) if part in self._points
        )


def read_mounts(place: str) -> Mounts:
    """Return the mounts that the process at a directory of /proc sees; none if we may not read it.

    Args:
        place: For example /proc/self.
    """
    with suppress(OSError):
        return Mounts.of_lines((Path(place) / "mountinfo").read_bytes().split(b"\n"))
    return Mounts([])


def parse_mount(line: bytes) -> Mount | None:
    """Return the mount in a line of mountinfo; None if it is not such a line."""
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
    """Return whether a file system of this type answers without another machine or process."""
    if type_ in _NOT_LOCAL:
        return False
    return type_ in _IN_MEMORY | _OVER_OTHERS | _ON_DISKS or type_ in _block_device_types()


@cache
def memory_devices() -> Mapping[Device, int]:
    """Return the devices of memory that is a file to the kernel, but has no directory.

    It comes from memfd_create(2), shmat(2) and shared anonymous memory, each with normal or huge
    pages. Each kind is a file system that is mounted nowhere; a file of our own in it shows its
    device.

    Returns:
        Page size in bytes, by device.
    """
    found = {_device_of_shmem(): mmap.PAGESIZE}
    for shift in range(16, 35):  # 64 KiB to 16 GiB, the sizes that exist
        with suppress(OSError):
            found[_device_of_own(os.MFD_HUGETLB | shift << 26)] = 1 << shift
    return found


def _device_of_shmem() -> Device:
    """Return its device, even if a seccomp filter refuses memfd_create(2)."""
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
    """Return a path with its blanks, tabs, newlines and backslashes unescaped."""
    head, *rest = path.split(b"\\")
    return head + b"".join(bytes([int(part[:3], 8)]) + part[3:] for part in rest)


def _parents(path: bytes) -> Iterator[bytes]:
    """Yield what precedes each slash of a path (the root is empty), and then the path."""
    at = path.find(b"/")
    while at >= 0:
        yield path[:at]
        at = path.find(b"/", at + 1)
    yield path.rstrip(b"/")
