"""Costs: how long a kernel takes for what the engine's code stands for, in ns.

Code of the engine takes no virtual time by itself; what is listed here does. A lock that is held
around one of these is held for that long.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

DEFAULT = "costs.json"
"""The table that ships with the package."""


@dataclass(frozen=True, slots=True)
class Costs:
    """One table; all costs in ns, of one CPU, without waiting.

    Raises:
        ValueError: A cost is negative, or no number.
    """

    syscall: float
    """A system call that does nothing, entry and return: of each read, lseek, ioctl, mmap, munmap.
    No lock is held."""
    user_read: float
    """What a scanner does in its own program from one read() to the next."""
    user_query: float
    """What it does there from one ioctl to the next: more, as it packs and unpacks structures."""
    fill: float
    """A read() that has text, besides its records: set-up, and the copy to user space. No lock of
    the address space is held."""
    maps_line: float
    """A VMA found, and shown as a line of maps. Under the lock of the read()."""
    query: float
    """A VMA found by PROCMAP_QUERY, and its answer made. Under the lock of the ioctl."""
    smaps_vma: float
    """A VMA found, and shown in smaps, without its pages. Under the lock of the read()."""
    page_present: float
    """A resident page of 4 KiB met by the page walk of smaps. Under the same lock."""
    page_none: float
    """A page that is not resident met by it."""
    mmap: float
    """A page mapped anew, with what it merges with. mmap_lock is held for writing."""
    munmap: float
    """A VMA, or a part of one, unmapped, with what is split. mmap_lock is held for writing."""
    populate: float
    """A page allocated, cleared and mapped. mmap_lock is held for reading."""
    free_page: float
    """A page unmapped and freed. mmap_lock is held, in munmap for reading, in mmap for writing."""
    mmap_lock: float
    """mmap_lock taken and let go of, by whoever need not wait."""
    vma_lock: float
    """A VMA lock taken and let go of."""
    wake_up: float
    """A task woken, for the one that wakes it."""
    wake_latency: float
    """From then until a CPU takes notice: the interrupt, and the way out of idleness."""
    context_switch: float
    """From one task of a CPU to the next."""

    def __post_init__(self) -> None:
        """Check the costs."""
        for name, cost in asdict(self).items():
            if isinstance(cost, bool) or not isinstance(cost, int | float) or not cost >= 0:
                raise ValueError(f"cost {name} is {cost!r}, not a number of ns from 0 on")


@dataclass(frozen=True, slots=True)
class CostTable:
    """Costs, and where they come from.

    Attributes:
        costs: The costs.
        kernel: Release of the kernel on which they were measured.
        cpu: Model of its CPU.
        assumed: Names of those that were not measured there.
    """

    costs: Costs
    kernel: str
    cpu: str
    assumed: tuple[str, ...] = ()

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Read a table; without a path the one of the package.

        Raises:
            OSError: The file cannot be read.
            ValueError: It is not a table; the message says why.
        """
        file = path or files(__package__).joinpath(DEFAULT)
        try:
            return cls._of(json.loads(file.read_text()))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{file.name} is no table of costs: {error}") from error

    @classmethod
    def _of(cls, table: Mapping[str, Any]) -> Self:
        costs = table["costs"]
        names = {each.name for each in fields(Costs)}
        if missing := sorted(names ^ set(costs)):
            raise ValueError(f"it must have these costs and no others: {', '.join(missing)}")
        return cls(Costs(**costs), table["kernel"], table["cpu"], tuple(table["assumed"]))

    def save(self, path: Path) -> None:
        """Write the table; raises OSError."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")
