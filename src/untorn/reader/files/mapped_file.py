"""The file that a VMA maps: found and opened so that nothing changes and nothing waits.

Opening a FIFO can wait for ever; reading from a socket or a device takes data from the process; a
network file system may never answer. So a file is looked for only on a file system that is known to
answer without others (mounts.py), and it is not opened for that (found_file.py).

Source: proc_pid_map_files(5).
"""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cached_property, partial
from pathlib import Path

from untorn.errors import OutOfReachError, describe
from untorn.maps.entry import MapsEntry
from untorn.maps.fields import Device
from untorn.maps.page import PAGE_SIZE
from untorn.reader.access.gentle import gently
from untorn.reader.files.found_file import FIND, FoundFile
from untorn.reader.files.mounts import Mounts, is_local, memory_devices, read_mounts


class MappedFiles:
    """The files that a process maps.

    Args:
        place: Directory in /proc through which to reach the process, of a living thread.
        task: The number of that task in proc.
        proc: Where procfs is mounted.
    """

    def __init__(self, place: str, task: int, proc: str) -> None:
        self.place = place
        self._map_files = f"{proc}/{task}/map_files"

    @cached_property
    def mounts(self) -> Mounts:
        """The mounts that the process sees."""
        return read_mounts(self.place)

    @cached_property
    def our_mounts(self) -> Mounts:
        """The mounts that we see."""
        return read_mounts("/proc/self")

    @cached_property
    def root_of_names(self) -> tuple[str, Mounts]:
        """Where names of files start, and the mounts there.

        The kernel shows a name relative to our root if the file lies under it, otherwise relative
        to the root of the mounts that the process sees.
        """
        with suppress(OSError):
            ours, theirs = (
                Path(place, "ns/mnt").readlink() for place in ("/proc/self", self.place)
            )
            if ours == theirs:
                return "/", self.our_mounts
        return f"{self.place}/root", self.mounts

    def type_of(self, device: Device) -> str | None:
        """Return the type of a device's file system; None if no mount that we can see has it."""
        if device in memory_devices():
            return "tmpfs"
        return self.mounts.type_of(device) or self.our_mounts.type_of(device)

    def page_size_of(self, entry: MapsEntry) -> int:
        """Return the size of a VMA's pages in bytes, without the ioctl.

        Files on hugetlbfs and device memory (DAX) have huge pages. Nothing is walked.
        """
        device = entry.device
        known = memory_devices().get(device) or self.mounts.page_size_of(device)
        if not known and entry.name.startswith(b"/dev/dax"):
            align = Path("/sys/bus/dax/devices", os.fsdecode(entry.name[5:]), "align")
            with suppress(OSError, ValueError):
                known = int(align.read_text())
        return known or self.our_mounts.page_size_of(device) or PAGE_SIZE

    def device_of(self, mount: int) -> Device | None:
        """Return the device of a mount by its mnt_id, ours or the process's."""
        return self.mounts.device_of(mount) or self.our_mounts.device_of(mount)

    @contextmanager
    def find(self, entry: MapsEntry) -> Iterator["FoundFile"]:
        """Yield the file of an entry.

        It is the file that the VMA mapped when we looked: a caller that must know that the VMA has
        not changed since the entry was read has to check again afterwards.

        Raises:
            OutOfReachError: There is no file, or none that we may look for; with the reason.
        """
        self._check_device(entry)
        found = self.by_map_files(entry) or self.by_name(entry)
        with closing(found):
            yield found

    def _check_device(self, entry: MapsEntry) -> None:
        if not entry.has_file:
            raise OutOfReachError("no file is mapped there")
        type_, (major, minor) = self.type_of(entry.device), entry.device
        if type_ is None:
            raise OutOfReachError(
                f"what it maps is in no mounted file system (device {major}:{minor})"
            )
        layers = self.mounts.layers_of(entry.device) or self.our_mounts.layers_of(entry.device)
        if not is_local(type_):
            raise OutOfReachError(f"its file system is {type_}, which may wait for somebody else")
        if any(layer[:1] == b"/" and not self.our_mounts.way_is_local(layer) for layer in layers):
            raise OutOfReachError(
                f"its file system is {type_} over one that may wait for somebody else"
            )

    def by_map_files(self, entry: MapsEntry) -> FoundFile | None:
        """Return the file through the mapping, whatever its name. The caller closes it.

        This takes mmap_lock for one lookup. None without CAP_CHECKPOINT_RESTORE, if the VMA is
        gone, or if its file system may wait.
        """
        path = f"{self._map_files}/{entry.start:x}-{entry.end:x}"
        try:
            self._check_device(entry)
            return FoundFile(gently(partial(os.open, path, FIND)), os.fsencode(path))
        except (OSError, OutOfReachError):
            return None

    def by_name(self, entry: MapsEntry) -> FoundFile:
        """Return the file by its name, if that still names it. The caller closes it.

        Raises:
            OutOfReachError: The name is another file's, or we may not look for it; with the reason.
        """
        root, mounts = self.root_of_names
        if not entry.name.startswith(b"/"):
            reason = "its name is no path"
        elif not mounts.way_is_local(entry.name):
            reason = "the path to it crosses a file system that may wait"
        else:
            try:
                found = FoundFile.under(root, entry.name)
            except OSError as error:
                reason = f"{os.fsdecode(entry.name)}: {describe(error)}"
            else:
                if found.shown_as(self.device_of) == (entry.device, entry.inode):
                    return found
                found.close()
                reason = "another file has its name now"
        raise OutOfReachError(f"{reason}; the mapping finds it with CAP_CHECKPOINT_RESTORE")
