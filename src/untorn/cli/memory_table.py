"""The table of untorn memory: a line per row, and their sums."""

import sys
from collections.abc import Callable, Iterator, Sequence
from shutil import get_terminal_size

import click

from untorn.cli.memory_rows import Row
from untorn.cli.values import binary_range, binary_size, printable
from untorn.reader.memory.memory import FIELDS, Amounts

_ALWAYS = "size", "rss", "pss", "private"
"""Columns that are shown even where every value is 0."""
_FIRST: dict[str, Callable[[Row], str]] = {
    "pid": lambda row: str(row.pid),
    "VMAs": lambda row: f"{row.amounts.vmas or 0:,}",
    "range": lambda row: f"{row.entry.start:x}-{row.entry.end:x}" if row.entry else "",
}
"""The columns that may stand before the numbers."""


def table(rows: Sequence[Row], first: Sequence[str], last: str, total: Amounts) -> Iterator[str]:
    """Yield the lines.

    Args:
        rows: At least one, in their order.
        first: Which columns stand before the numbers: of pid, VMAs and range.
        last: What the names after the numbers name.
        total: The sums.
    """
    fields = [field for field in FIELDS if _is_shown(rows, field)]
    cells = [[*first, *_headings(fields), last]]
    for row in rows:
        labels = [_FIRST[each](row) for each in first]
        cells.append([*labels, *_numbers(row.amounts, fields, total), _name(row)])
    cells.append([*([""] * len(first)), *_numbers(total, fields, total), "total"])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)][:-1]
    most = get_terminal_size().columns if sys.stdout.isatty() else None
    for number, line in enumerate(cells):
        numbers = [cell.rjust(width) for cell, width in zip(line, widths, strict=False)]
        shown = "  ".join([*numbers, line[-1]])[:most]
        yield shown if number else click.style(shown, dim=True)


def _is_shown(rows: Sequence[Row], field: str) -> bool:
    known = [row.amounts for row in rows if row.amounts.interval(field)]
    return bool(known) and (field in _ALWAYS or any(each.most(field) for each in known))


def _headings(fields: Sequence[str]) -> Iterator[str]:
    for field in fields:
        yield field
        if field == "rss":
            yield "%"


def _numbers(amounts: Amounts, fields: Sequence[str], total: Amounts) -> Iterator[str]:
    for field in fields:
        yield _size(amounts, field)
        if field == "rss":
            yield f"{100 * amounts.most(field) / max(total.most(field), 1):.1f}"


def _size(amounts: Amounts, field: str) -> str:
    """Return a number, or the bounds of one that is unknown or estimated."""
    limits = amounts.interval(field)
    if limits is None:
        return "-"
    low, high = limits
    if low == high:
        return binary_size(low)
    value: int | None = getattr(amounts, field)
    return binary_range(low, high, value)


def _name(row: Row) -> str:
    if row.entry is None and row.name is None:
        return printable(row.command)
    return printable(row.entry.name if row.entry else row.name or b"") or "anonymous"
