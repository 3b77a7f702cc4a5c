"""Archives in cpio's newc format: a kernel unpacks them as its first file system.

Archives may follow one another; the kernel unpacks all, and a later file replaces an earlier one.
Source: Documentation/driver-api/early-userspace/buffer-format.rst.
"""

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

_MAGIC = b"070701"
_TRAILER = "TRAILER!!!"
_ALIGNMENT = 4


@dataclass(frozen=True, slots=True)
class File:
    """A regular file of an archive."""

    path: PurePosixPath
    """Absolute."""
    data: bytes
    executable: bool = False


def write_archive(archive: BinaryIO, files: Iterable[File]) -> None:
    """Write an archive of the files, each preceded by its parent directories.

    Raises:
        OSError: The archive cannot be written.
    """
    seen: set[PurePosixPath] = set()
    for number, (name, mode, data) in enumerate(_entries(files, seen), start=1):
        archive.write(_entry(name, number, mode, data))
    archive.write(_entry(_TRAILER, 0, 0, b""))


def _entries(files: Iterable[File], seen: set[PurePosixPath]) -> Iterator[tuple[str, int, bytes]]:
    for file in files:
        for directory in reversed(file.path.parents[:-1]):
            if directory not in seen:
                seen.add(directory)
                yield _name(directory), stat.S_IFDIR | 0o755, b""
        yield _name(file.path), stat.S_IFREG | (0o755 if file.executable else 0o644), file.data


def _name(path: PurePosixPath) -> str:
    return str(path.relative_to("/"))


def _entry(name: str, inode: int, mode: int, data: bytes) -> bytes:
    """Return a header of 13 hexadecimal numbers, the name, and the data; the last two padded."""
    encoded = name.encode() + b"\0"
    links, nobody = 1, 0
    fields = (inode, mode, nobody, nobody, links, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
    header = _MAGIC + b"".join(b"%08X" % field for field in fields)
    return _padded(header + encoded) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGNMENT)
