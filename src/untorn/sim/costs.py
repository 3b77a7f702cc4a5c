"""Costs: how long a kernel takes for what the engine's code stands for, in ns.

The engine's code takes no virtual time by itself; only what is listed here does. A lock held around
one of these is held for that long.
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
    """One table; all costs are in ns of one CPU, without waiting.

    Raises:
        ValueError: A cost is negative or not a number.
    """

    syscall: float
    """A system call that does nothing, entry and return: of each read, lseek, ioctl, mmap, munmap.
    No lock is held."""
    user_read: float
    """A scanner's own work from one read() to the next."""
    user_query: float
    """Its own work from one ioctl to the next: more, because it packs and unpacks structures."""
    fill: float
    """A read() that returns text, without its records: set-up, and the copy to user space. No lock
    of the address space is held."""
    maps_line: float
    """Finding a VMA and showing it as a line of maps, under the lock of the read()."""
    query: float
    """Finding a VMA by PROCMAP_QUERY and answering, under the lock of the ioctl."""
    smaps_vma: float
    """Finding a VMA and showing it in smaps, without its pages, under the lock of the read()."""
    page_present: float
    """A resident page of 4 KiB in the page walk of smaps, under the same lock."""
    page_none: float
    """A page that is not resident in that walk."""
    mmap: float
    """Mapping a new page, with any merge. mmap_lock is held for writing."""
    munmap: float
    """Unmapping a VMA or a part of one, with any split. mmap_lock is held for writing."""
    populate: float
    """Allocating, clearing and mapping a page. mmap_lock is held for reading."""
    free_page: float
    """Unmapping and freeing a page. mmap_lock is held for reading in munmap, for writing in
    mmap."""
    mmap_lock: float
    """Taking and releasing mmap_lock without waiting."""
    vma_lock: float
    """Taking and releasing a VMA lock."""
    wake_up: float
    """Waking a task, paid by the one that wakes it."""
    wake_latency: float
    """From then until the CPU takes notice: the interrupt, and the exit from idle."""
    context_switch: float
    """A switch from one task of a CPU to the next."""

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
        """Read a table; without a path, the package's.

        Raises:
            OSError: The file cannot be read.
            ValueError: It is not a table, for the reason in the message.
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
