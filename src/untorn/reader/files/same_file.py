"""Whether a file is the one that a VMA maps.

stat() does not say: maps shows the device of the file system, but on btrfs each subvolume has its
own st_dev, and on overlayfs each layer may. So we compare two things that the kernel reports in the
same way: stat() through both mappings (map_files), if we may; otherwise the lines of maps, or what
/proc/self/fdinfo and mountinfo say of the file.

Source: fs/proc/task_mmu.c:show_map_vma(); fs/proc/base.c:proc_map_files_lookup();
fs/proc/fd.c:seq_show().
"""

import mmap
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from untorn.errors import OutOfReachError
from untorn.maps.entry import MapsEntry
from untorn.maps.fields import Device
from untorn.maps.page import PAGE_SIZE
from untorn.processes.process_under_test import ThisProcess
from untorn.reader.access.live_maps_file import LiveMapsFile
from untorn.reader.files.found_file import FoundFile
from untorn.reader.files.mapped_file import MappedFiles
from untorn.reader.lookup import next_entry

_ONE_DEVICE_FOR_MANY = "btrfs"
_PROT_NONE = 0
"""maps shows one device for all subvolumes, and each of them has its own inode 257."""


def is_same(files: MappedFiles, entry: MapsEntry, candidate: FoundFile) -> bool:
    """Return whether an entry maps this file.

    Raises:
        OutOfReachError: Nothing that we may look at decides it.
    """
    mapped = files.by_map_files(entry)
    if mapped is None:
        return _is_shown_alike(files, entry, candidate)
    with closing(mapped):
        if os.path.samestat(mapped.status, candidate.status):
            return True
        if files.type_of(entry.device) == _ONE_DEVICE_FOR_MANY or not candidate.is_regular:
            return False
        # On overlayfs the mapping may belong to the file in a layer (before Linux 6.8).
        with _mapped(candidate) as (own, own_entry):
            own_mapped = own.by_map_files(own_entry)
            if own_mapped is None:
                return _place(own_entry) == _place(entry)
            with closing(own_mapped):
                return os.path.samestat(mapped.status, own_mapped.status)


def _is_shown_alike(files: MappedFiles, entry: MapsEntry, candidate: FoundFile) -> bool:
    alike = candidate.shown_as(files.device_of) == _place(entry)
    if not alike and candidate.is_regular:
        with _mapped(candidate) as (_, own_entry):
            alike = _place(own_entry) == _place(entry)
    name = os.fsencode(Path(f"/proc/self/fd/{candidate.fd}").readlink())
    if alike and name != entry.name and files.type_of(entry.device) == _ONE_DEVICE_FOR_MANY:
        raise OutOfReachError(
            "btrfs shows files of two subvolumes alike; the mapping would tell them apart, "
            "which takes CAP_CHECKPOINT_RESTORE"
        )
    return alike


def _place(entry: MapsEntry) -> tuple[Device, int]:
    return entry.device, entry.inode


@contextmanager
def _mapped(candidate: FoundFile) -> Iterator[tuple[MappedFiles, MapsEntry]]:
    """Map a page of a file ourselves with PROT_NONE; yield our own files and the entry of it."""
    process = ThisProcess()
    with candidate.read() as file:
        addr = process.mmap(0, PAGE_SIZE, _PROT_NONE, mmap.MAP_PRIVATE, file.fileno(), 0)
    try:
        with LiveMapsFile(os.getpid()) as maps:
            entry = next_entry(maps, addr)
        assert entry is not None
        yield MappedFiles("/proc/self", os.getpid(), "/proc"), entry
    finally:
        process.munmap(addr, PAGE_SIZE)
