"""The fields of smaps that are known of a memory.

Where the kernel's smaps was read, these are all that it told, in its order. Where pages were
counted, a field is known if it is exact of every VMA: one that some VMAs lack would make sums of
it wrong, and nobody would see.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from untorn.maps.smaps_lines import BY_KIND, OTHERS, RESIDENT, SIZES, kb_lines, plain_line
from untorn.reader.memory.figures import SUMS
from untorn.reader.memory.memory import Memory
from untorn.reader.memory.smaps_fields import Masked
from untorn.reader.text.columns import Numbers

KB = 1024

_QUANTITIES = {
    "Size": "size",
    "MMUPageSize": "page_size",
    **{fields[0]: quantity for quantity, fields in SUMS.items() if len(fields) == 1},
}
"""By field. Of the others counting tells nothing."""


class KnownField(NamedTuple):
    """One field of all VMAs."""

    name: str
    """The kernel's."""
    line: bytes
    """A format that takes the number."""
    unit: int
    """What that number counts: bytes, or 1 of what is no size."""
    values: Masked | Numbers
    """A row a VMA, bytes; masked where the kernel told none."""

    def numbers(self) -> list[int | None]:
        """Return what is printed of each VMA; None where there is nothing."""
        numbers: list[int | None] = (self.values // np.uint64(self.unit)).tolist()
        return numbers

    def sum(self) -> int | None:
        """Return what is printed of all VMAs together; None if some have nothing."""
        return None if np.ma.is_masked(self.values) else int(self.values.sum()) // self.unit


def known_fields(memory: Memory) -> Iterator[KnownField]:
    """Yield what is known, in the kernel's order.

    Raises:
        ValueError: It is an estimate by a sample.
    """
    if memory.estimated:
        raise ValueError("an estimate is nothing that the kernel could have told")
    return _told(memory) if memory.fields else _counted(memory)


def _told(memory: Memory) -> Iterator[KnownField]:
    for name, values in memory.fields.items():
        if name in memory.widths:
            yield KnownField(name, plain_line(name, memory.widths[name]), 1, values)
        else:
            yield KnownField(name, kb_lines(name), KB, values)


def _counted(memory: Memory) -> Iterator[KnownField]:
    for name in (*SIZES, *RESIDENT, *BY_KIND, *OTHERS):
        bounds = memory.bounds(_QUANTITIES[name]) if name in _QUANTITIES else None
        if bounds is not None and np.array_equal(*bounds):
            yield KnownField(name, kb_lines(name), KB, bounds[0])
