"""What is known of a process and of the machine without a look at its pages.

Counters that are read without a lock of the process: they tell that there is none of something.
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
"""Beginnings of names of what has no pages that are counted."""


class Facts(NamedTuple):
    """What there may be."""

    resident: int
    """Bytes that are resident at most."""
    swapped: int
    """Bytes of which page tables say that they are in swap, at most."""
    locked: int
    """Bytes that the process has locked."""
    swap: int
    """Bytes of swap that are used on this machine."""
    ksm: bool
    """Whether pages are merged on this machine."""


def facts_of(place: str) -> Facts:
    """Return the facts of a process.

    Args:
        place: Directory of /proc by which it is reached.

    Raises:
        OSError: It is gone.
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
    """Return how many bytes a counter of pages may lack, of which there are three of resident ones.

    Every CPU may keep a batch to itself. Source: lib/percpu_counter.c.
    """
    cpus = os.cpu_count() or 1
    return cpus * max(32, 2 * cpus) * PAGE_SIZE


def swap_used() -> int:
    """Return how many bytes of swap this machine uses: as if all of it, where that is not told.

    Not by meminfo, which some mounts of procfs do not have, and which containers are told lies in.
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
    """What is behind VMAs, a row each, as far as that changes how their pages count."""

    hugetlb: Truths
    """In hugetlbfs."""
    swappable: Truths
    """Shared memory, of which pages in swap leave no trace in page tables; or perhaps it."""
    device: Truths
    """Perhaps memory of a device or of the kernel, which is in no count."""
    page_size: Numbers
    """Bytes of its pages: those of hugetlbfs, and of device memory (DAX), may be huge."""

    def take(self, which: Truths) -> "Backing":
        """Return some of the rows."""
        truths = self.hugetlb[which], self.swappable[which], self.device[which]
        return Backing(*truths, self.page_size[which])


def backing_of(columns: Columns, files: MappedFiles, facts: Facts, *, devices: bool) -> Backing:
    """Return what is behind VMAs; what need not be known is False.

    Args:
        columns: The VMAs.
        files: Finds their files.
        facts: Of their process.
        devices: Whether it has to be known which may be memory of devices.
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
    """Tell whether files of a file system may be in swap, and whether they may be of drivers."""
    type_ = files.type_of(device)
    if type_ is None:
        return device.major == 0, device.major == 0
    return type_ in ("tmpfs", "devtmpfs"), type_ == "devtmpfs"
