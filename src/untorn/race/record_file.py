"""RecordFile: a maps file of which every read() fills in one record only."""

from untorn.fs.maps_file import NO_FLAGS, PATH_MAX, MapsFile
from untorn.fs.proc.procmap_query import QueriedVma, QueryFlags

_READ_SIZE = 32
"""Bytes, fewer than any line has: one record is enough to give them, so a fill ends with it."""


class RecordFile:
    """A maps file that gives so little at a time that no two records come from one fill."""

    def __init__(self, file: MapsFile) -> None:
        self._file = file
        self.seek, self.close = file.seek, file.close

    def read(self, size: int) -> bytes:
        """Return the next bytes, some of a record or of its end and the next: see MapsFile."""
        return self._file.read(min(size, _READ_SIZE))

    def query(
        self,
        addr: int,
        flags: QueryFlags = NO_FLAGS,
        *,
        name_size: int = PATH_MAX,
        build_id_size: int = 0,
    ) -> QueriedVma:
        """Describe one VMA: see MapsFile."""
        return self._file.query(addr, flags, name_size=name_size, build_id_size=build_id_size)
