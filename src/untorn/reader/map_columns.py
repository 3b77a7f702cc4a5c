"""The map of a process as columns: what a snapshot and a memory share."""

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from untorn.maps.entry import MapsEntry
from untorn.maps.page import ULONG_MAX
from untorn.reader.text.columns import Columns, Numbers


class MapColumns(Sequence[MapsEntry]):
    """Disjoint ranges in the order of their addresses, one row per VMA. Immutable.

    As a sequence it has one MapsEntry per VMA, made on demand. The columns are read-only numpy
    arrays.

    Attributes:
        columns: All columns together.
        start, end: Byte addresses, end exclusive.
        permissions: Bits of Permissions.
        offset: Bytes into the file; 0 without one.
        device: As st_dev of os.stat(); 0 without a file.
        inode: 0 without a file.
        name: Index into names.
        names: Each name once; see MapsEntry.name.
    """

    __slots__ = ("columns",)

    def __init__(self, columns: Columns) -> None:
        self.columns = columns

    @property
    def start(self) -> Numbers:
        """Byte addresses."""
        return self.columns.start

    @property
    def end(self) -> Numbers:
        """Byte addresses after the last ones."""
        return self.columns.end

    @property
    def permissions(self) -> npt.NDArray[np.uint8]:
        """Bits of Permissions."""
        return self.columns.permissions

    @property
    def offset(self) -> Numbers:
        """Bytes into the file."""
        return self.columns.offset

    @property
    def device(self) -> Numbers:
        """As st_dev."""
        return self.columns.device

    @property
    def inode(self) -> Numbers:
        """Inodes."""
        return self.columns.inode

    @property
    def name(self) -> npt.NDArray[np.int32]:
        """Indexes into names."""
        return self.columns.name

    @property
    def names(self) -> tuple[bytes, ...]:
        """Each name once."""
        return self.columns.names

    def find(self, addr: int) -> MapsEntry | None:
        """Return the VMA that covers a byte address, None if none does."""
        row = self.first_above(addr)
        covers = row < len(self) and self.start[row] <= addr
        return self[row] if covers else None

    def between(self, low: int, high: int) -> list[MapsEntry]:
        """Return the VMAs that overlap the range from low to high, high exclusive."""
        last = np.searchsorted(self.start, np.uint64(min(max(high, 0), ULONG_MAX)))
        return self[slice(self.first_above(low), int(last))]

    def first_above(self, addr: int) -> int:
        """Return the first row whose end is above a byte address."""
        place = np.uint64(min(max(addr, 0), ULONG_MAX))
        return int(np.searchsorted(self.end, place, side="right"))

    @overload
    def __getitem__(self, row: int) -> MapsEntry: ...
    @overload
    def __getitem__(self, row: slice) -> list[MapsEntry]: ...
    def __getitem__(self, row: int | slice) -> MapsEntry | list[MapsEntry]:
        if isinstance(row, slice):
            return [self.columns.entry(each) for each in range(*row.indices(len(self)))]
        return self.columns.entry(range(len(self))[row])

    def __iter__(self) -> Iterator[MapsEntry]:
        return map(self.columns.entry, range(len(self)))

    def __len__(self) -> int:
        return len(self.columns)
