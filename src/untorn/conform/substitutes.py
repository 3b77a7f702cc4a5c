"""Files that only one script has: made by number when it first opens them."""

import os
from contextlib import ExitStack
from tempfile import TemporaryFile
from typing import Any

from untorn.conform.files import place_on_disk
from untorn.conform.operation import IN_MEMORY
from untorn.conform.traced.open_file import file_facts


class Substitutes:
    """The files; close() closes and removes them."""

    def __init__(self) -> None:
        self._files: dict[tuple[int, int], int] = {}
        self._made = ExitStack()

    def close(self) -> None:
        """Close and remove all files."""
        self._made.close()
        self._files.clear()

    def path(self, number: int, size: int, where: int) -> str:
        """Return a path by which any process can open the file of this number.

        Args:
            number: Number of the file.
            size: Its least size in bytes.
            where: ON_DISK or IN_MEMORY.

        Raises:
            OutOfReachError: There is no place on disk for one.
        """
        key = where, number
        if key not in self._files:
            self._files[key] = self._make(number, where)
        fd = self._files[key]
        if os.fstat(fd).st_size < size:
            os.truncate(fd, size)
        return f"/proc/{os.getpid()}/fd/{fd}"

    def facts(self, number: int, flags: int, where: int) -> dict[str, Any]:
        """Return what the engine must know of such a file, opened with O_RDONLY or others."""
        fd = os.open(self.path(number, 0, where), flags | os.O_CLOEXEC)
        try:
            return file_facts(fd)
        finally:
            os.close(fd)

    def _make(self, number: int, where: int) -> int:
        if where == IN_MEMORY:
            fd = os.memfd_create(f"file {number}", os.MFD_CLOEXEC)
            self._made.callback(os.close, fd)
            return fd
        place = place_on_disk()
        return self._made.enter_context(TemporaryFile(prefix="untorn-", dir=place)).fileno()
