"""The common part of the files of /proc/PID about VMAs."""

import errno
from typing import Any

from untorn.errors import os_error
from untorn.fs.proc.maps_locking import MapsLocking
from untorn.fs.seq_file import SEEK_SET, SeqFile, SeqOperations
from untorn.fs.user_memory import UserMemory
from untorn.maps.maps_file import MapsFile
from untorn.mm.mm_types import MmStruct, mmdrop


class ProcVmaFile(MapsFile):
    """An open file. Several tasks may use it at once.

    It keeps the mm that the process had when the file was opened. After the process execs or exits,
    it shows no VMAs.
    """

    __slots__ = ("_locking", "_mm", "_seq")

    def __init__(
        self, mm: MmStruct | None, locking: MapsLocking | None, records: SeqOperations[Any]
    ) -> None:
        """Make the file.

        Args:
            mm: The mm from proc_mem_open(), which close() releases.
            locking: The locking context of records; None if mm is None.
            records: The records to show.
        """
        self._mm = mm
        self._locking = locking
        self._seq = SeqFile(records)

    def read(self, size: int) -> bytes:
        """Return the next bytes; see MapsFile."""
        return self._seq.read(size)

    def pread(self, size: int, offset: int) -> bytes:
        """Return bytes from offset on. Keep the file position; see SeqFile.pread()."""
        return self._seq.pread(size, offset)

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Move the file position; see MapsFile."""
        return self._seq.seek(offset, whence)

    def ioctl(self, request: int, memory: UserMemory, arg: int) -> None:
        """Answer an ioctl with the caller's memory.

        Raises:
            OSError: ENOTTY, because the file has no ioctl.
        """
        raise os_error(errno.ENOTTY)

    def statistics(self) -> dict[str, int]:
        """Return how often writers got in the way of reads of this file, by kind."""
        return self._locking.statistics() if self._locking else {}

    def close(self) -> None:
        """Release the mm. The file must not be used afterwards."""
        mm, self._mm = self._mm, None
        if mm is not None:
            mmdrop(mm)
