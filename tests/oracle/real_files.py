"""Real files for tests, and what the engine is told of them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from untorn.conform.traced import open_file
from untorn.conform.traced.open_file import DISKS, file_system_at
from untorn.mm.file import VmFile


def vm_file(path: Path, flags: int) -> VmFile:
    """Return what open() of a path with these O_* flags is to the engine."""
    fd = os.open(path, flags)
    try:
        return open_file.vm_file(open_file.file_facts(fd))
    finally:
        os.close(fd)


@contextmanager
def directory_on_a_disk(*places: Path) -> Iterator[Path]:
    """Make a directory in the first of these places that is on a disk, and remove it."""
    for place in places:
        if file_system_at(place) in DISKS and os.access(place, os.W_OK):
            with TemporaryDirectory(dir=place) as directory:
                yield Path(directory)
            return
    pytest.skip(f"no directory here is on {' or '.join(DISKS)}: {', '.join(map(str, places))}")


def set_append_only(path: Path, on: bool) -> None:
    """Do chattr +a or -a; raises as open_file.set_append_only()."""
    fd = os.open(path, os.O_RDONLY)
    try:
        open_file.set_append_only(fd, on)
    finally:
        os.close(fd)
