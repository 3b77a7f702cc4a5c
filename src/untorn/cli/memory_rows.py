"""The rows of untorn memory: one per VMA, name or process."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from untorn.cli.values import text
from untorn.maps.entry import MapsEntry
from untorn.reader.memories import ProcessMemory
from untorn.reader.memory.memory import FIELDS, Amounts, How, Memory, least_exact, sum_of


class Row(NamedTuple):
    """What one VMA, name or process has in memory."""

    amounts: Amounts
    how: How
    """For several VMAs, the least exact way."""
    changed: bool | None
    """Whether any of it changed during the look; None if that is not known."""
    pid: int | None = None
    """The process; None for a name, which several processes may have."""
    command: bytes = b""
    entry: MapsEntry | None = None
    """If the row is a VMA."""
    name: bytes | None = None
    """If the row is all VMAs of this name."""
    longest_hold_ns: int | None = None
    """If the row is a process."""

    def as_json(self) -> dict[str, object]:
        """Return the fields of a JSON object: numbers of bytes, None for what is not known."""
        fields: dict[str, object] = {}
        if self.pid is not None:
            fields |= {"pid": self.pid, "command": text(self.command)}
        if self.entry is not None:
            start, end, permissions = self.entry.start, self.entry.end, str(self.entry.permissions)
            fields |= {"start": start, "end": end, "permissions": permissions}
        name = self.entry.name if self.entry is not None else self.name
        if name is not None:
            fields["name"] = text(name)
        if self.entry is None:
            fields["vmas"] = self.amounts.vmas
        for field in FIELDS:
            fields[field] = getattr(self.amounts, field)
            if field in self.amounts.bounds:
                low, high = self.amounts.bounds[field]
                fields |= {f"{field}_min": low, f"{field}_max": high}
        fields |= {"how": str(self.how), "changed": self.changed}
        if self.longest_hold_ns is not None:
            fields["longest_hold_ns"] = self.longest_hold_ns
        return fields


def rows_of(processes: Sequence[ProcessMemory], by: str) -> list[Row]:
    """Return what processes have in memory, the most resident first.

    Args:
        processes: Each known VMA by VMA, unless a row is a process.
        by: What a row shows: "vma", "name" or "process".
    """
    rows = _BY[by](processes)
    return sorted(rows, key=lambda row: row.amounts.most("rss"), reverse=True)


def _by_vma(processes: Iterable[ProcessMemory]) -> Iterator[Row]:
    for process in processes:
        memory = process.memory
        assert memory is not None
        parts = zip(memory, _amounts(memory), memory.how, memory.changed.tolist(), strict=True)
        for entry, amounts, how, changed in parts:
            yield Row(amounts, How(how), changed, process.pid, process.command, entry)


def _by_name(processes: Iterable[ProcessMemory]) -> Iterator[Row]:
    found: dict[bytes, list[Row]] = {}
    for process in processes:
        memory = process.memory
        assert memory is not None
        ways: dict[int, set[str]] = {}
        for number, how in zip(memory.name.tolist(), memory.how.tolist(), strict=True):
            ways.setdefault(number, set()).add(how)
        changed = set(memory.name[memory.changed].tolist())
        sums = memory.by_name()
        for number, name in enumerate(memory.names):
            if number in ways:
                row = Row(sums[name], least_exact(ways[number]), number in changed)
                found.setdefault(name, []).append(row)
    for name, rows in found.items():
        amounts = rows[0].amounts if len(rows) == 1 else sum_of(row.amounts for row in rows)
        how = least_exact(row.how for row in rows)
        yield Row(amounts, how, any(row.changed for row in rows), name=name)


def _by_process(processes: Iterable[ProcessMemory]) -> Iterator[Row]:
    for pid, command, amounts, how, hold, memory in processes:
        changed = None if memory is None else bool(memory.changed.any())
        yield Row(amounts, how, changed, pid, command, longest_hold_ns=hold)


_BY: dict[str, Callable[[Sequence[ProcessMemory]], Iterator[Row]]] = {
    "vma": _by_vma,
    "name": _by_name,
    "process": _by_process,
}


def _amounts(memory: Memory) -> Iterator[Amounts]:
    """Yield what each VMA has."""
    columns = {field: getattr(memory, field) for field in FIELDS}
    values = {name: column.tolist() for name, column in columns.items() if column is not None}
    bounds = {
        name: np.transpose(both).tolist()
        for name in FIELDS
        if (both := memory.bounds(name)) is not None
    }
    for row in range(len(memory)):
        limits = {name: tuple(each[row]) for name, each in bounds.items()}
        exact = {name: low for name, (low, high) in limits.items() if low == high}
        told = {name: column[row] for name, column in values.items()}
        doubtful = {name: each for name, each in limits.items() if name not in exact}
        yield Amounts(1, **exact | told, bounds=doubtful)
