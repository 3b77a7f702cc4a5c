"""What is known of a process and of the machine without a look at its pages.

It comes from counters that are read without a lock. They give upper bounds: if a bound is 0, there
is nothing of that kind to look for.
"""

import ctypes
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from untorn.maps.fields import Device
from untorn.maps.page import PAGE_SIZE, PMD_SIZE, ULONG_MAX
from untorn.reader.files.mapped_file import MappedFiles
from untorn.reader.page_walk import sizes_of
from untorn.reader.text.columns import Columns, Numbers
from untorn.reader.text.hex_field import Truths

_KSM = Path("/sys/kernel/mm/ksm/pages_shared")
_SPECIAL = b"[vvar", b"[vsyscall]"
"""Prefixes of names of VMAs whose pages are not counted."""


class Facts(NamedTuple):
    """Upper bounds of what there may be."""

    resident: int
    """The most bytes that are resident."""
    swapped: int
    """The most bytes that are in swap according to page tables."""
    locked: int
    """Bytes that the process has locked."""
    swap: int
    """Bytes of swap in use on this machine."""
    ksm: bool
    """Whether this machine merges pages."""


def facts_of(place: str) -> Facts:
    """Return the facts of a process.

    Args:
        place: Directory in /proc through which to reach the process.

    Raises:
        OSError: The process is gone.
    """
    sizes = sizes_of(place)
    try:
        merged = int(_KSM.read_text())
    except (OSError, ValueError):
        merged = 0
    swap = max(swap_used(), sizes["VmSwap"])
    return Facts(
        resident=sizes["VmRSS"] + 3 * _uncounted(),
        swapped=sizes["VmSwap"] + _uncounted() if swap else 0,
        locked=sizes["VmLck"],
        swap=swap,
        ksm=merged > 0,
    )


def _uncounted() -> int:
    """Return how many bytes one counter of pages may lack; resident pages have three counters.

    Every CPU may keep a batch of its own. Source: lib/percpu_counter.c.
    """
    cpus = os.cpu_count() or 1
    return cpus * max(32, 2 * cpus) * PAGE_SIZE


def swap_used() -> int:
    """Return how many bytes of swap this machine uses; if that is unknown, all of it.

    Not from meminfo: some mounts of procfs lack it, and what containers see of it may be false.
    Source: sysinfo(2).
    """
    told = _SysInfo()
    if ctypes.CDLL(None).sysinfo(ctypes.byref(told)):
        return ULONG_MAX
    return int((told.totalswap - told.freeswap) * told.mem_unit)


class _SysInfo(ctypes.Structure):
    _fields_ = (
        ("uptime", ctypes.c_long),
        ("loads", ctypes.c_ulong * 3),
        *((name, ctypes.c_ulong) for name in ("totalram", "freeram", "sharedram", "bufferram")),
        *((name, ctypes.c_ulong) for name in ("totalswap", "freeswap")),
        ("procs", ctypes.c_ushort),
        *((name, ctypes.c_ulong) for name in ("totalhigh", "freehigh")),
        ("mem_unit", ctypes.c_uint),
        ("unused", ctypes.c_char * 64),
    )


class Backing(NamedTuple):
    """What backs the VMAs, one row each, if it changes how their pages count."""

    hugetlb: Truths
    """Whether it is hugetlbfs."""
    swappable: Truths
    """Whether it is, or may be, shared memory: its swapped pages leave no trace in page tables."""
    device: Truths
    """Whether it may be memory of a device or of the kernel, which does not count."""
    page_size: Numbers
    """Size of its pages in bytes: those of hugetlbfs and of device memory (DAX) may be huge."""

    def take(self, which: Truths) -> "Backing":
        """Return some of the rows."""
        truths = self.hugetlb[which], self.swappable[which], self.device[which]
        return Backing(*truths, self.page_size[which])


def backing_of(columns: Columns, files: MappedFiles, facts: Facts, *, devices: bool) -> Backing:
    """Return what backs the VMAs; what need not be known is False.

    Args:
        columns: The VMAs.
        files: Finds the files that they map.
        facts: Facts of the process.
        devices: Whether we must know which VMAs may be memory of devices.
    """
    has_file = columns.inode != 0
    special = np.array([name.startswith(_SPECIAL) for name in columns.names], np.bool_)
    swappable = np.zeros(len(columns), np.bool_)
    device = special[columns.name]
    page_size = _page_sizes(columns, files)
    dax = np.array([name.startswith(b"/dev/dax") for name in columns.names], np.bool_)
    hugetlb = (page_size > PAGE_SIZE) & ~dax[columns.name]
    if facts.swap or devices:
        for number in np.unique(columns.device[has_file]).tolist():
            of_it = has_file & (columns.device == number)
            may_swap, driver = _kind(Device.of(number), files)
            swappable |= of_it & may_swap & (facts.swap > 0)
            device |= of_it & driver
    return Backing(hugetlb, swappable & ~hugetlb, device, page_size)


def _page_sizes(columns: Columns, files: MappedFiles) -> Numbers:
    sizes = np.full(len(columns), PAGE_SIZE, np.uint64)
    aligned = (columns.start | columns.end) % np.uint64(PMD_SIZE) == 0
    for row in np.flatnonzero(aligned & (columns.inode != 0)).tolist():
        sizes[row] = files.page_size_of(columns.entry(row))
    return sizes


def _kind(device: Device, files: MappedFiles) -> tuple[bool, bool]:
    """Return whether files of a file system may be in swap, and whether they may be of drivers."""
    type_ = files.type_of(device)
    if type_ is None:
        return device.major == 0, device.major == 0
    return type_ in ("tmpfs", "devtmpfs"), type_ == "devtmpfs"
