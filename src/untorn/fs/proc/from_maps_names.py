"""What the names of mapped files tell of them. See from_maps.py."""

import re

from untorn.fs.proc.maps_entry import MapsEntry

SHMEM_NAME = b"/dev/zero (deleted)"
"""Of shared anonymous memory."""
ANON_SHMEM = b"[anon_shmem:"
"""How that begins which was given a name."""
ZERO_NAME = b"/dev/zero"
_FILES_IN_DEV = re.compile(rb"/dev/(shm/|huge).*|/dev/zero( \(deleted\))?", re.DOTALL)
"""What is below /dev, and no device with a say in what may be done with its mappings."""
_OTHERS = {
    b"/dev/": "a device",
    b"/sys/": "a file that the kernel makes up",
    b"/proc/": "a file that the kernel makes up",
    b"/dmabuf:": "a buffer of devices",
    b"/drm mm object": "a buffer of a device",
    b"/i915": "a buffer of a device",
    b"/[aio]": "a ring of asynchronous I/O",
    b"/secretmem": "memory of memfd_secret",
}
"""What paths that begin so are, and no plain files."""


def other_than_a_file(entry: MapsEntry) -> str | None:
    """Say what an entry maps that is no plain file, or nothing if it may be one."""
    name = entry.name
    if not entry.has_file or name.startswith(ANON_SHMEM) or _FILES_IN_DEV.fullmatch(name):
        return None
    if not name.startswith(b"/"):
        return "what has no path, such as a socket or a ring"
    return next((what for prefix, what in _OTHERS.items() if name.startswith(prefix)), None)


def is_never_huge(entry: MapsEntry) -> bool:
    """Say whether no file of that name lies on hugetlbfs."""
    name = entry.name
    if name in (SHMEM_NAME, ZERO_NAME) or name.startswith(ANON_SHMEM):
        return True
    return other_than_a_file(entry) is not None
