"""The files that scripts map, by name."""

import fcntl
import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from untorn.conform.traced.minimal_child import FIRST_FD
from untorn.conform.traced.open_file import (
    DISKS,
    file_system,
    file_system_at,
    set_append_only,
    vm_file,
)
from untorn.errors import OutOfReachError
from untorn.maps.fields import Device
from untorn.maps.page import PAGE_SIZE
from untorn.mm.file import VmFile
from untorn.mm.filemap import AddressSpace

_MEMORY, _LASTING = Path("/dev/shm"), Path("/var/tmp")
FILE_PAGES = 16
"""Pages of each."""
ZEROS_FD, SINK_FD = FIRST_FD, FIRST_FD + 1
"""Descriptors of the child that are not mapped: one to read zeros from, one to write to."""
MAPPED = {
    "ONE": "a file",
    "ONE_AGAIN": "a second open of it",
    "ONE_READ_ONLY": "a third one, for reading",
    "ONE_WRITE_ONLY": "a fourth one, for writing",
    "OTHER": "another file, with a space and a newline in its name",
    "GONE": "a file that was deleted",
    "MEMORY": "a memfd",
    "ZERO": "/dev/zero",
    "DIRECTORY": "a directory",
    "NO_MMAP": "a file of /proc: it cannot be mapped, and not be executed",
    "SEALED": "a memfd that is sealed against writing",
    "APPEND_ONLY": "a file that was deleted, append-only where it can be",
}
FDS = {name: SINK_FD + 1 + number for number, name in enumerate(MAPPED)}
"""Descriptors that are the same in both processes."""


def open_files(stack: ExitStack) -> list[int]:
    """Open the child's files, in the order of its descriptors; the stack closes and removes them.

    Raises:
        OutOfReachError: There is no place for files.
    """
    made = tempfile.TemporaryDirectory(prefix="untorn-conform-", dir=place_for_files())
    directory = Path(stack.enter_context(made))
    one, other, gone = directory / "one", directory / "the\nother file", directory / "gone"
    append_only = directory / "append-only"
    for path in one, other, gone, append_only:
        path.write_bytes(bytes(FILE_PAGES * PAGE_SIZE))
    opened = {
        "zeros": _open(stack, Path("/dev/zero"), os.O_RDONLY),
        "sink": _in_memory(stack, "sink", 0),
        "ONE": _open(stack, one),
        "ONE_AGAIN": _open(stack, one),
        "ONE_READ_ONLY": _open(stack, one, os.O_RDONLY),
        "ONE_WRITE_ONLY": _open(stack, one, os.O_WRONLY),
        "OTHER": _open(stack, other),
        "GONE": _open(stack, gone),
        "MEMORY": _in_memory(stack, "in memory", FILE_PAGES),
        "ZERO": _open(stack, Path("/dev/zero")),
        "DIRECTORY": _open(stack, directory, os.O_RDONLY),
        "NO_MMAP": _open(stack, Path("/proc/self/maps"), os.O_RDONLY),
        "SEALED": _in_memory(stack, "sealed", FILE_PAGES),
        "APPEND_ONLY": _open(stack, append_only),
    }
    fcntl.fcntl(opened["SEALED"], fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    for path in gone, append_only:
        path.unlink()
    with suppress(OSError):  # if we may not, or there is no such attribute, it is a plain file
        set_append_only(opened["APPEND_ONLY"])
    return [opened[name] for name in ("zeros", "sink", *MAPPED)]


def engine_files(facts: Iterable[dict[str, Any]]) -> dict[int, VmFile]:
    """Return the engine's open files, made from the facts of open_files()."""
    files = dict(zip(FDS.values(), map(vm_file, facts), strict=True))
    caches: dict[tuple[Device, int], AddressSpace] = {}
    for file in files.values():
        file.mapping = caches.setdefault((file.device, file.inode), file.mapping)
    return files


def restore_file(fd: int) -> None:
    """Give a file that a script truncated its first size and zeros back; fd is ours."""
    os.ftruncate(fd, 0)
    os.ftruncate(fd, FILE_PAGES * PAGE_SIZE)
    if file_system(fd) != "tmpfs":
        os.pwrite(fd, bytes(FILE_PAGES * PAGE_SIZE), 0)  # all of it must be in the page cache again


def restore_files(files: Mapping[int, VmFile], truncated: Iterable[int]) -> None:
    """Do the same for the engine's files.

    Args:
        files: What engine_files() returned.
        truncated: Descriptors of truncated files, perhaps also others.
    """
    caches = dict.fromkeys(files[fd].mapping for fd in truncated if fd in files)
    for file in files.values():
        if file.mapping in caches:
            file.size = FILE_PAGES * PAGE_SIZE
    for mapping in caches:
        mapping.punch_hole(0, FILE_PAGES)


def place_for_files() -> Path:
    """Return a directory for files that is not on overlayfs.

    On overlayfs the file system below decides much, and nothing shows which one that is.
    """
    places = Path(tempfile.gettempdir()), _MEMORY
    for place in places:
        if os.access(place, os.W_OK) and file_system_at(place) != "overlay":
            return place
    raise OutOfReachError(f"on overlayfs, or not to be written to: {', '.join(map(str, places))}")


def place_on_disk() -> Path:
    """Return a directory on a file system that aligns mappings with huge pages.

    Raises:
        OutOfReachError: There is none.
    """
    places = Path(tempfile.gettempdir()), _LASTING, Path.cwd()
    for place in places:
        if os.access(place, os.W_OK) and file_system_at(place) in DISKS:
            return place
    raise OutOfReachError(
        f"not on {' or '.join(DISKS)}, or not to be written to: {', '.join(map(str, places))}"
    )


def _in_memory(stack: ExitStack, name: str, pages: int) -> int:
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    stack.callback(os.close, fd)
    os.truncate(fd, pages * PAGE_SIZE)
    return fd


def _open(stack: ExitStack, path: Path, flags: int = os.O_RDWR) -> int:
    fd = os.open(path, flags | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    return fd
