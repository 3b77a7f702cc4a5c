"""Read a map from a file: a text of maps, or a core file."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from untorn.errors import OutOfReachError
from untorn.maps.cursor import UTF_16
from untorn.reader.text.core_file import MAGIC

if TYPE_CHECKING:
    from untorn.reader.snapshot import Snapshot

_LIMIT = 1 << 28
"""Bytes of text; a million VMAs take about half of that."""
_CHUNK = 1 << 20


def snapshot_of(path: str, *, strict: bool) -> "Snapshot":
    """Return the map in a file.

    Args:
        path: Path of the file; - for stdin.
        strict: Whether to refuse anything that Linux would not print.

    Raises:
        OutOfReachError: The file is no map, or an empty one; the message says where and why.
        OSError: It cannot be read.
    """
    where = "stdin" if path == "-" else path
    with _named(where), _open(path) as file:
        try:
            taken = _read(file)
        except ValueError as error:
            raise OutOfReachError(f"{where}: {error}") from None
    if strict and taken.leniencies:
        raise OutOfReachError(f"{where}: {taken.leniencies[0]}")
    if not len(taken):
        left_out = taken.leniencies[0] if taken.leniencies else "the text is empty"
        raise OutOfReachError(f"{where}: no range is left: {left_out}")
    return taken


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Add the file's name to the error of a system call that fails inside."""
    try:
        yield
    except OSError as error:
        error.filename = where
        raise


def _open(path: str) -> BinaryIO:
    if path != "-":
        return Path(path).open("rb")
    if sys.stdin is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    return open(0, "rb", closefd=False)


def _read(file: BinaryIO) -> "Snapshot":
    from untorn.reader.snapshot import Snapshot

    first = file.read(_CHUNK)
    if not first.startswith(MAGIC):
        return Snapshot.parse(_text(first, file), strict=False)
    if not file.seekable():
        raise ValueError("a core file cannot be read from a pipe")
    return Snapshot.read_core(file)


def _text(first: bytes, file: BinaryIO) -> bytes:
    """Return the whole text. Raises ValueError if the file is no text, or too large."""
    chunks, size = [first], len(first)
    while chunks[-1]:
        if b"\0" in chunks[-1] and not first.startswith(UTF_16):
            raise ValueError("neither a text nor a core file: it has zero bytes")
        if size > _LIMIT:
            raise ValueError(f"larger than any map: more than {_LIMIT >> 20} MiB")
        chunks.append(file.read(_CHUNK))
        size += len(chunks[-1])
    return b"".join(chunks)
