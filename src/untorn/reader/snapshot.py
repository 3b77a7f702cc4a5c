"""A snapshot: the whole map of a process as columns, and as records on demand."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from untorn.maps.entry import GATE_NAME, MapsEntry, is_deleted
from untorn.maps.page import KERNEL_HALF
from untorn.maps.procmap_query import PERMISSION_BITS, ProcmapQuery, QueryFlags
from untorn.reader.map_columns import MapColumns
from untorn.reader.text.columns import Columns, resolve_overlaps
from untorn.reader.text.parse import parse
from untorn.reader.text.parse_again import parse_again

if TYPE_CHECKING:
    from untorn.reader.diff import Change
    from untorn.reader.text.leniency import Leniency


@dataclass(frozen=True, slots=True)
class Coherence:
    """How the text became one coherent map, and what that took."""

    fills: int = 0
    """System calls that returned text; the kernel keeps the map still for one of them at most."""
    quiet_fills: int = 0
    """Fills during which no thread of the process ran, as far as we know."""
    checked_holes: int = 0
    """Holes between lines that were checked, because the process may have run meanwhile."""
    false_gaps: int = 0
    """Those of them in which something was mapped."""
    put_in: int = 0
    """VMAs that were inserted there."""
    overlaps: int = 0
    """Lines that gave way, whole or in part, to a newer form shown further down."""
    by_lines: bool = False
    """Whether the file was read a second time, line by line, for lack of the ioctl."""
    read_ns: int = 0
    """Time of reading."""
    check_ns: int = 0
    """Time of the checks, beyond reading and parsing."""


class Total(NamedTuple):
    """All VMAs of one name."""

    vmas: int
    size: int
    """Bytes."""


class Snapshot(MapColumns):
    """The map of a process: disjoint ranges in the order of their addresses. Immutable.

    Attributes:
        coherence: What was done to make the text coherent.
        leniencies: How a text from elsewhere differs from Linux's; empty if it was read strictly.
    """

    __slots__ = ("_lines", "_texts", "coherence", "leniencies")

    def __init__(
        self,
        columns: Columns,
        coherence: Coherence,
        texts: Sequence[bytes],
        lines: Columns,
        leniencies: "tuple[Leniency, ...]" = (),
    ) -> None:
        """Take the columns; also the text in parts and its lines, to compare with a later text."""
        super().__init__(columns)
        self.coherence = coherence
        self.leniencies = leniencies
        self._texts, self._lines = texts, lines

    @classmethod
    def parse(cls, text: bytes, *, strict: bool = True) -> Self:
        """Return the snapshot in a text of maps, as if it had been read at once.

        Args:
            text: The whole text.
            strict: False to read also what other kernels print, and what mails, terminals and
                editors leave of a text, if it can mean only one thing: see from_text.py. leniencies
                says what differs from Linux.

        Raises:
            ValueError: A line is truncated, not one of maps, or below the one before; the message
                has its number and the column, both from 1, what stands there, and what Linux prints
                there.
        """
        from untorn.reader.text.from_text import check_text, read_text

        if not strict:
            return cls._of_entries(*read_text(text))
        lines = parse([text])
        check_text(text, lines)
        columns, overlaps = resolve_overlaps(lines)
        return cls(columns, Coherence(overlaps=overlaps), [text], lines)

    @classmethod
    def from_core(cls, path: str | os.PathLike[str]) -> Self:
        """Return the snapshot in an ELF core file: see core_file.py.

        What the file does not have, such as device and inode, is 0 or empty; leniencies says what.

        Raises:
            ValueError: It is not an ELF core file, or is a broken one.
            OSError: It cannot be read.
        """
        with Path(path).open("rb") as file:
            return cls.read_core(file)

    @classmethod
    def read_core(cls, file: BinaryIO) -> Self:
        """Return the same from an open seekable file."""
        from untorn.reader.text.core_file import read_core

        return cls._of_entries(*read_core(file))

    @classmethod
    def _of_entries(cls, entries: list[MapsEntry], leniencies: "tuple[Leniency, ...]") -> Self:
        columns, overlaps = resolve_overlaps(Columns.of_entries(entries))
        nothing = Columns.of_entries([])
        return cls(columns, Coherence(overlaps=overlaps), [], nothing, leniencies)

    def parse_next(self, texts: Sequence[bytes]) -> Columns:
        """Return the lines of a later text in parts of whole lines; reuse what did not change."""
        return parse_again(texts, self._texts, self._lines)

    @property
    def text(self) -> bytes | None:
        """The text that was read, if it is the map as it stands; None for a core file, too."""
        changed = self.coherence.put_in or self.coherence.overlaps or self.leniencies
        return None if changed or not self._texts else b"".join(self._texts)

    @property
    def size(self) -> int:
        """Bytes mapped."""
        return int((self.end - self.start).sum())

    @property
    def deleted(self) -> npt.NDArray[np.bool_]:
        """Whether the name of each row says that its file was deleted: see MapsEntry.deleted."""
        return np.array(list(map(is_deleted, self.names)), np.bool_)[self.name]

    def query(self, question: ProcmapQuery) -> MapsEntry | None:
        """Return the VMA that PROCMAP_QUERY would describe, None for ENOENT.

        In the kernel's half, [vsyscall] is found, which the ioctl does not find.
        Compare fs/proc/task_mmu.c:query_matching_vma().
        """
        addr, flags = question.query_addr, question.query_flags
        wanted, step = flags & PERMISSION_BITS, flags & QueryFlags.COVERING_OR_NEXT_VMA
        first = self.first_above(addr)
        rows = np.flatnonzero(self.permissions[first:] & wanted == wanted) + first
        for row in rows.tolist():
            entry = self[row]
            if not step and (row > first or addr < entry.start):
                return None
            fits = entry.has_file or not flags & QueryFlags.FILE_BACKED_VMA
            if fits and (entry.name != GATE_NAME or addr >= KERNEL_HALF):
                return entry
        return None

    def totals(self) -> dict[bytes, Total]:
        """Return how many VMAs have each name, and their bytes, the largest first."""
        counts = np.bincount(self.name, minlength=len(self.names))
        sizes = np.zeros(len(self.names), np.uint64)
        np.add.at(sizes, self.name, self.end - self.start)
        order = np.argsort(sizes)[::-1].tolist()
        return {self.names[i]: Total(int(counts[i]), int(sizes[i])) for i in order if counts[i]}

    def diff(self, old: "Snapshot") -> "list[Change]":
        """Return what changed since an older snapshot, in the order of addresses: see diff.py."""
        from untorn.reader.diff import diff

        return diff(old.columns, self.columns)

    def __eq__(self, other: object) -> bool:
        """Whether the same is mapped, VMA by VMA; how it was read does not matter."""
        return self.columns == other.columns if isinstance(other, Snapshot) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Snapshot of {len(self)} VMAs, {self.size >> 10} KiB>"
