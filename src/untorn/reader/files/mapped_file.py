"""The file that a VMA maps: found, looked at and opened so that nothing changes and nothing waits.

To open a FIFO can wait for ever, to read from a socket or a device takes what the process was to
get, and a network file system may never answer. So a file is looked for only on a file system
that is known to answer by itself (mounts.py), without being opened (found_file.py).

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
        place: Directory of /proc by which the process is reached; by a living thread of it.
        task: Number, under proc, of the task that this is.
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
        """Where names of files begin, and the mounts there.

        The kernel shows a name from our root if the file lies under it, else from the root of the
        mounts that the process sees.
        """
        with suppress(OSError):
            ours, theirs = (
                Path(place, "ns/mnt").readlink() for place in ("/proc/self", self.place)
            )
            if ours == theirs:
                return "/", self.our_mounts
        return f"{self.place}/root", self.mounts

    def type_of(self, device: Device) -> str | None:
        """Return the type of a file system by its device; None if nobody here has it mounted."""
        if device in memory_devices():
            return "tmpfs"
        return self.mounts.type_of(device) or self.our_mounts.type_of(device)

    def page_size_of(self, entry: MapsEntry) -> int:
        """Return the bytes of the pages of a VMA, where the ioctl does not tell them.

        Huge ones are had by files on hugetlbfs, and by device memory (DAX). Nothing is walked.
        """
        device = entry.device
        known = memory_devices().get(device) or self.mounts.page_size_of(device)
        if not known and entry.name.startswith(b"/dev/dax"):
            align = Path("/sys/bus/dax/devices", os.fsdecode(entry.name[5:]), "align")
            with suppress(OSError, ValueError):
                known = int(align.read_text())
        return known or self.our_mounts.page_size_of(device) or PAGE_SIZE

    def device_of(self, mount: int) -> Device | None:
        """Return the device of a mount of the process or of us, by its mnt_id."""
        return self.mounts.device_of(mount) or self.our_mounts.device_of(mount)

    @contextmanager
    def find(self, entry: MapsEntry) -> Iterator["FoundFile"]:
        """Give the file of an entry.

        It is that which the VMA mapped when it was looked for: who must know that the VMA has not
        changed since the entry was read has to look again afterwards.

        Raises:
            OutOfReachError: There is none, or none that may be looked for; with the reason.
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
        """Return the file by the mapping itself, whatever its name is or was. To be closed.

        Takes mmap_lock for the length of a lookup. None without CAP_CHECKPOINT_RESTORE, where
        that VMA is no more, and where its file system may wait.
        """
        path = f"{self._map_files}/{entry.start:x}-{entry.end:x}"
        try:
            self._check_device(entry)
            return FoundFile(gently(partial(os.open, path, FIND)), os.fsencode(path))
        except (OSError, OutOfReachError):
            return None

    def by_name(self, entry: MapsEntry) -> FoundFile:
        """Return the file by its name, if it is still that one. To be closed.

        Raises:
            OutOfReachError: It is not, or may not be looked for; with the reason.
        """
        root, mounts = self.root_of_names
        if not entry.name.startswith(b"/"):
            reason = "its name is no path"
        elif not mounts.way_is_local(entry.name):
            reason = "the way to its name leads over a file system that may wait"
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
        raise OutOfReachError(f"{reason}; by the mapping it takes CAP_CHECKPOINT_RESTORE")
