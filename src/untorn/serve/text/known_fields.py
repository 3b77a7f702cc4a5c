"""The fields of smaps that are known of a memory.

If the kernel's smaps was read, these are all of its fields, in its order. If pages were counted, a
field is known only if it is exact for every VMA: if some VMAs lacked a field, sums of it would be
wrong without any sign.
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
"""By field. Counting says nothing of the others."""


class KnownField(NamedTuple):
    """One field of all VMAs."""

    name: str
    """The kernel's name."""
    line: bytes
    """A format for the number."""
    unit: int
    """The unit of that number: bytes, or 1 if it is not a size."""
    values: Masked | Numbers
    """One row per VMA, in bytes; masked where the kernel has none."""

    def numbers(self) -> list[int | None]:
        """Return the number to print for each VMA; None for nothing."""
        numbers: list[int | None] = (self.values // np.uint64(self.unit)).tolist()
        return numbers

    def sum(self) -> int | None:
        """Return the number to print for all VMAs together; None if some have none."""
        return None if np.ma.is_masked(self.values) else int(self.values.sum()) // self.unit


def known_fields(memory: Memory) -> Iterator[KnownField]:
    """Yield the known fields, in the kernel's order.

    Raises:
        ValueError: The memory is estimated from a sample.
    """
    if memory.estimated:
        raise ValueError("the kernel could not have printed an estimate")
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
