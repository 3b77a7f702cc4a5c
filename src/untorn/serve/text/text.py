"""The text of one look, which many open files return.

Source: fs/seq_file.c:seq_read_iter(); fs/proc/task_mmu.c:show_map(), show_smap().
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import Self

from untorn.fs.seq_file import SeqFile

_LINE = re.compile(rb".*\n")
"""A name may have any control character except a newline."""
_NEXT_RANGE = re.compile(rb"\n(?=[0-9a-f]+-)")
"""The end of a record of smaps, if another one follows: field names begin with a capital."""

_RANGE = re.compile(rb"([0-9a-f]+)(?:-([0-9a-f]+))?")
"""The start of a record: the addresses of a VMA."""


class Text:
    """The text of a file, in the records in which the kernel prints it. Immutable.

    A SeqFile shows it: a read() returns what a read() of the kernel's file would.

    Attributes:
        records: One per VMA: a line of maps, a block of smaps. None is empty.
        size: Size in bytes.
    """

    __slots__ = ("records", "size")

    def __init__(self, records: Sequence[bytes]) -> None:
        self.records, self.size = records, sum(map(len, records))

    @classmethod
    def of_lines(cls, text: bytes) -> Self:
        """Return a text whose records are lines: maps, numa_maps."""
        return cls(_LINE.findall(text))

    @classmethod
    def of_smaps(cls, text: bytes) -> Self:
        """Return a text of smaps or smaps_rollup."""
        *records, last = _NEXT_RANGE.split(text)
        return cls([record + b"\n" for record in records] + [last] * bool(last))

    def place_of(self, index: int) -> int | None:
        """Return the byte address at which a record begins; None at the end."""
        return _range_of(self.records[index])[0] if index < len(self.records) else None

    def index_from(self, place: int | None) -> int:
        """Return the index of the first record that ends above a byte address; None means the end.

        The kernel's files continue in the same way. Source: fs/proc/task_mmu.c:m_start().
        """
        if place is None:
            return len(self.records)
        return bisect_right(self.records, place, key=lambda record: _range_of(record)[1])

    def start(self, m: SeqFile[bytes]) -> bytes | None:
        """Return the record at m.index: see SeqOperations."""
        return self.records[m.index] if m.index < len(self.records) else None

    def next(self, m: SeqFile[bytes]) -> bytes | None:
        """Return the record after it."""
        m.index += 1
        return self.start(m)

    def stop(self, m: SeqFile[bytes]) -> None:
        """Do nothing: records do not change."""

    def show(self, record: bytes) -> bytes:
        """Return a record's text, which is the record."""
        return record

    def __bytes__(self) -> bytes:
        return b"".join(self.records)


def _range_of(record: bytes) -> tuple[int, int]:
    """Return where a record begins and ends; the same for numa_maps, which has no ends."""
    found = _RANGE.match(record)
    assert found
    start = int(found[1], 16)
    return start, int(found[2], 16) if found[2] else start + 1
