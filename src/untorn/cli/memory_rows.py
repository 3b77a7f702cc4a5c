"""The rows of untorn memory: one a VMA, a name or a process."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from untorn.cli.values import text
from untorn.maps.entry import MapsEntry
from untorn.reader.memories import Looked
from untorn.reader.memory.memory import FIELDS, Amounts, How, Memory, least_exact


class Row(NamedTuple):
    """What one thing has."""

    amounts: Amounts
    how: How
    """Of several VMAs, the least exact way."""
    changed: bool | None
    """Whether something of it changed during the look; None if that is not known."""
    pid: int | None = None
    """Of one process; None of a name, which several may have."""
    command: bytes = b""
    entry: MapsEntry | None = None
    """Of one VMA."""
    name: bytes | None = None
    """Of all VMAs that are called so."""

    def as_json(self) -> dict[str, object]:
        """Return what an object has: bytes, and null for what is not known."""
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
        return fields | {"how": str(self.how), "changed": self.changed}


def interval(amounts: Amounts, field: str) -> tuple[int, int] | None:
    """Return the least and the most that a field can be; None if nothing is known."""
    value: int | None = getattr(amounts, field)
    exact = None if value is None else (value, value)
    return amounts.bounds.get(field, exact)


def sum_of(all_of_them: Iterable[Amounts]) -> Amounts:
    """Return the sums, each of what all have; the bounds of a sum are the sums of the bounds."""
    summands = list(all_of_them)
    sums: dict[str, int | None] = {}
    bounds: dict[str, tuple[int, int]] = {}
    for field in FIELDS:
        values = [getattr(each, field) for each in summands]
        sums[field] = None if None in values else sum(values)
        intervals = [interval(each, field) for each in summands]
        known = [each for each in intervals if each is not None]
        low, high = sum(low for low, _ in known), sum(high for _, high in known)
        if len(known) == len(summands) and low < high:
            bounds[field] = low, high
    vmas = [each.vmas for each in summands]
    return Amounts(None if None in vmas else sum(filter(None, vmas)), **sums, bounds=bounds)


def rows_by_vma(looks: Iterable[Looked]) -> Iterator[Row]:
    """Yield a row a VMA."""
    for pid, command, memory in looks:
        parts = zip(memory, _amounts(memory), memory.how, memory.changed.tolist(), strict=True)
        for entry, amounts, how, changed in parts:
            yield Row(amounts, How(how), changed, pid, command, entry)


def rows_by_name(looks: Sequence[Looked]) -> Iterator[Row]:
    """Yield a row a name, of all processes together."""
    found: dict[bytes, list[Row]] = {}
    for _, _, memory in looks:
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


def rows_by_process(looks: Iterable[Looked]) -> Iterator[Row]:
    """Yield a row a process."""
    for pid, command, memory in looks:
        yield Row(memory.total, least_exact(memory.how), bool(memory.changed.any()), pid, command)


BY: dict[str, Callable[[Sequence[Looked]], Iterator[Row]]] = {
    "vma": rows_by_vma,
    "name": rows_by_name,
    "process": rows_by_process,
}
"""What a row is of."""


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
