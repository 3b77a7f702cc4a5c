"""The text of one look, which many open files return.

Source: fs/seq_file.c:seq_read_iter(); fs/proc/task_mmu.c:show_map(), show_smap().
"""

import re
from collections.abc import Sequence
from typing import Self

from untorn.fs.seq_file import SeqFile

_LINE = re.compile(rb".*\n")
"""A name may have any control character but a newline."""
_NEXT_RANGE = re.compile(rb"\n(?=[0-9a-f]+-)")
"""What ends a record of smaps, if another one follows: names of fields begin with a capital."""


class Text:
    """What a file says, in the records that the kernel prints it in. Never changes.

    It is what a SeqFile shows: a read() of that returns what one of the kernel's file would.

    Attributes:
        records: A VMA each: a line of maps, a block of smaps. None is empty.
    """

    __slots__ = ("records",)

    def __init__(self, records: Sequence[bytes]) -> None:
        self.records = records

    @classmethod
    def of_lines(cls, text: bytes) -> Self:
        """Return a text of which each line is a record: maps, numa_maps."""
        return cls(_LINE.findall(text))

    @classmethod
    def of_smaps(cls, text: bytes) -> Self:
        """Return a text of smaps or smaps_rollup."""
        *records, last = _NEXT_RANGE.split(text)
        return cls([record + b"\n" for record in records] + [last] * bool(last))

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self.records))

    def open(self) -> SeqFile[bytes]:
        """Return a new open file, which stands at the beginning: use its pread()."""
        return SeqFile(self)

    def start(self, m: SeqFile[bytes]) -> bytes | None:
        """Return the record at m.index: see SeqOperations."""
        return self.records[m.index] if m.index < len(self.records) else None

    def next(self, m: SeqFile[bytes]) -> bytes | None:
        """Return the record after it."""
        m.index += 1
        return self.start(m)

    def stop(self, m: SeqFile[bytes]) -> None:
        """Hold nothing: records do not change."""

    def show(self, record: bytes) -> bytes:
        """Return a record's text: itself."""
        return record

    def __bytes__(self) -> bytes:
        return b"".join(self.records)
