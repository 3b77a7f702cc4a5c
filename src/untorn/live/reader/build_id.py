"""The build id of a mapped file, where the ioctl does not tell it.

Source: elf(5); the note is of type NT_GNU_BUILD_ID. Compare lib/buildid.c.
"""

import errno
import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

from untorn.errors import os_error
from untorn.fs.maps_file import BUILD_ID_SIZE_MAX
from untorn.fs.proc.maps_entry import MapsEntry

_MAGIC = b"\x7fELF"
_PT_NOTE = 4
_NT_GNU_BUILD_ID = 3
_LAYOUTS = {
    1: (struct.Struct("=28xI10xHH"), struct.Struct("=II8xI")),
    2: (struct.Struct("=32xQ14xHH"), struct.Struct("=I4xQ16xQ")),
}
"""By class (32 or 64 bits): of the header, place, size and count of program headers; of each of
these, type, place and size of the segment in the file."""
_NOTE = struct.Struct("=III")
"""Sizes of name and description, type."""


def build_id_of(entry: MapsEntry, pid: int, proc: str) -> bytes:
    """Return the build id of the file of an entry; empty if it has none.

    Raises:
        OSError: The file cannot be opened, neither by the mapping (which takes
            CAP_CHECKPOINT_RESTORE) nor by its name; ESTALE if that is another file now.
    """
    # What is cut off, or of a class that there is none of, has no build id.
    with _open(entry, pid, proc) as file, suppress(struct.error, KeyError):
        for notes in _note_segments(file):
            if build_id := _find(notes):
                return build_id
    return b""


def _open(entry: MapsEntry, pid: int, proc: str) -> BinaryIO:
    place = Path(proc) / str(pid)
    with suppress(PermissionError, FileNotFoundError):
        return (place / f"map_files/{entry.start:x}-{entry.end:x}").open("rb")
    with ExitStack() as opened:
        path = Path(f"{place}/root{os.fsdecode(entry.name)}")
        file = opened.enter_context(path.open("rb"))
        if os.fstat(file.fileno()).st_ino != entry.inode:
            raise os_error(errno.ESTALE)
        opened.pop_all()
        return file


def _note_segments(file: BinaryIO) -> Iterator[bytes]:
    head = file.read(64)
    if head[:4] != _MAGIC:
        return
    header, program_header = _LAYOUTS[head[4]]
    place, size, count = header.unpack_from(head)
    file.seek(place)
    table = file.read(size * count)
    for each in range(count):
        kind, offset, length = program_header.unpack_from(table, each * size)
        if kind == _PT_NOTE:
            file.seek(offset)
            yield file.read(length)


def _find(notes: bytes) -> bytes:
    """Return the build id among these notes, empty if there is none."""
    at = 0
    while at + _NOTE.size <= len(notes):
        name_size, size, kind = _NOTE.unpack_from(notes, at)
        name = at + _NOTE.size
        description = name + (name_size + 3 & ~3)
        if kind == _NT_GNU_BUILD_ID and notes[name : name + name_size] == b"GNU\0":
            return notes[description : description + size] if size <= BUILD_ID_SIZE_MAX else b""
        at = description + (size + 3 & ~3)
    return b""
