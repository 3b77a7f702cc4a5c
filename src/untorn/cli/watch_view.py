"""The terminal view of untorn watch: as many lines as the terminal has, however large the map."""

import time
from collections import Counter, deque

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from untorn.cli.values import binary_size, printable
from untorn.reader.diff import Change, ChangeKind
from untorn.reader.snapshot import Snapshot
from untorn.reader.watch import Look

_KEPT = 200
"""How many changes we keep: more than a terminal has lines."""
_NAMES = 5
_FRAME = 8
"""How many lines are neither names nor changes."""
_STYLES = {
    ChangeKind.MAPPED: "green",
    ChangeKind.GROWN: "green",
    ChangeKind.UNMAPPED: "red",
    ChangeKind.SHRUNK: "red",
}


class WatchView:
    """The view of one process."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._counts: Counter[ChangeKind] = Counter()
        self._latest: deque[tuple[str, Change]] = deque(maxlen=_KEPT)
        self._snapshot = Snapshot.parse(b"")

    def take(self, look: Look) -> None:
        """Add a look to the view."""
        now = time.strftime("%H:%M:%S")
        self._snapshot = look.snapshot
        self._counts.update(change.kind for change in look.changes)
        self._latest.extend((now, change) for change in look.changes[-_KEPT:])

    def render(self, width: int, height: int) -> RenderableType:
        """Return a view that fills a terminal of that many columns and lines."""
        room = max(height - _FRAME - _NAMES, 3)
        return Group(self._title(), self._names(width), self._changes(room, width))

    def _title(self) -> Text:
        size = binary_size(self._snapshot.size)
        title = Text(f"process {self._pid}: {len(self._snapshot)} VMAs, {size}; ")
        counts = ", ".join(
            f"{self._counts[kind]} {kind}" for kind in ChangeKind if self._counts[kind]
        )
        return title.append(counts or "no change yet")

    def _names(self, width: int) -> Table:
        table = _table()
        table.add_column("largest", justify="right")
        table.add_column("VMAs", justify="right")
        table.add_column("name", no_wrap=True, max_width=max(width - 24, 8))
        for name, total in list(self._snapshot.totals().items())[:_NAMES]:
            table.add_row(
                binary_size(total.size), str(total.vmas), Text(printable(name) or "anonymous")
            )
        return table

    def _changes(self, room: int, width: int) -> Table:
        table = _table()
        for heading in "time", "change", "range":
            table.add_column(heading, no_wrap=True)
        table.add_column("size", justify="right")
        table.add_column("perms", no_wrap=True)
        table.add_column("name", no_wrap=True, max_width=max(width - 76, 8))
        for now, change in list(self._latest)[-room:]:
            table.add_row(now, *_row(change))
        return table


def _table() -> Table:
    return Table(box=None, pad_edge=False, header_style="dim")


def _row(change: Change) -> tuple[Text, str, str, str, Text]:
    entries = [entry for entry in (change.before, change.after) if entry]
    permissions = dict.fromkeys(str(entry.permissions) for entry in entries)
    names = dict.fromkeys(printable(entry.name) or "anonymous" for entry in entries)
    return (
        Text(change.kind, _STYLES.get(change.kind, "yellow")),
        f"{change.start:x}-{change.end:x}",
        binary_size(change.end - change.start),
        "→".join(permissions),
        Text(" → ".join(names)),
    )
