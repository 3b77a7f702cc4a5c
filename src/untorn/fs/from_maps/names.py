"""What the names of mapped files tell of them. See address_space.py."""

import re

from untorn.maps.entry import MapsEntry
from untorn.maps.page import PMD_SIZE

SHMEM_NAME = b"/dev/zero (deleted)"
"""Of shared anonymous memory."""
ANON_SHMEM = b"[anon_shmem:"
"""How that begins which was given a name."""
ZERO_NAME = b"/dev/zero"
_FILES_IN_DEV = re.compile(rb"/dev/(shm/|huge).*|/dev/zero( \(deleted\))?", re.DOTALL)
"""What is below /dev, and no device with a say in what may be done with its mappings."""
_OF_DRIVERS = (
    *(b"/dev/", b"/sys/", b"/proc/"),  # of devices, or made up by the kernel
    *(b"/dmabuf:", b"/drm mm object", b"/i915"),  # buffers of devices
    *(b"/[aio]", b"/secretmem"),  # a ring of asynchronous I/O, memory of memfd_secret
)
"""How paths begin that are not of plain files."""
_DAX = b"/dev/dax"


def is_of_driver(entry: MapsEntry) -> bool:
    """Say whether an entry maps no plain file, but what a driver decides about.

    What has no path is a socket or an anonymous inode, such as that of a ring.
    """
    name = entry.name
    if not entry.has_file or name.startswith(ANON_SHMEM) or _FILES_IN_DEV.fullmatch(name):
        return False
    return name.startswith(_OF_DRIVERS) or not name.startswith(b"/")


def may_be_huge_dax(entry: MapsEntry) -> bool:
    """Say whether an entry may map pages of 2 MB or more of device DAX: it begins and ends so.

    Source: drivers/dax/device.c:check_vma().
    """
    return entry.name.startswith(_DAX) and not (entry.start | entry.end) % PMD_SIZE


def is_never_huge(entry: MapsEntry) -> bool:
    """Say whether no file of that name lies on hugetlbfs."""
    name = entry.name
    if name in (SHMEM_NAME, ZERO_NAME) or name.startswith(ANON_SHMEM):
        return True
    return is_of_driver(entry)
