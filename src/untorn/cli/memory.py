"""untorn memory: what processes have in memory, counted without stalling them."""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import click

from untorn.cli.options import PID, Above, proc_option
from untorn.cli.progress import StatusLine
from untorn.errors import OutOfReachError, describe
from untorn.reader.access.limit import MAX_HOLD, MEMORY_TIMEOUT
from untorn.reader.looks import look_at

if TYPE_CHECKING:
    from untorn.cli.memory_rows import Row
    from untorn.reader.live_maps import LiveMaps
    from untorn.reader.memories import Looked
    from untorn.reader.memory.memory import Amounts

_LEAST = 0.01
"""Seconds for a process when there is no more time for all."""


@click.command(
    epilog="""\b
    Example: untorn memory 4242
             untorn memory 4242 --by vma --json | jq -r '[.rss, .name] | @tsv'
             untorn memory --all --within 5 | head
    Exit status: 0 all was looked at that may be; 1 a PID is that of no process,
    of one that has no memory, may not be read, or was not in time, or Ctrl-C;
    2 wrong usage."""
)
@click.argument("pids", metavar="[PID]...", type=PID, nargs=-1)
@proc_option
@click.option("--all", "every", is_flag=True, help="Look at all processes.")
@click.option(
    "--by",
    type=click.Choice(["vma", "name", "process"]),
    help="What a line is of. Unless told: a name of one process, else a process.",
)
@click.option(
    "--max-hold",
    type=Above(60_000),
    default=MAX_HOLD * 1000,
    show_default=True,
    metavar="MS",
    help="Milliseconds for which one call may hold a lock of a process.",
)
@click.option(
    "--within",
    type=Above(86_400),
    metavar="S",
    help="Seconds that all may take: what cannot be counted by then is estimated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def memory(
    pids: tuple[int, ...],
    proc: str,
    every: bool,
    by: str | None,
    max_hold: float,
    within: float | None,
    as_json: bool,
) -> None:
    """Show what processes have in memory, without stalling them.

    Small ones are asked of the kernel, by smaps or smaps_rollup; of large ones the pages are
    counted in slices, so that no lock is held for long. The numbers are those of smaps; what is
    not known is left out or has bounds, and an estimate (~) the interval in which it lies with
    95 %. The largest come first, with their share of what is resident (%), the sums last.

    In JSON, numbers are bytes, null where they are not known; bounds are _min and _max.
    """
    if bool(pids) == every:
        raise click.UsageError("give either PIDs or --all")
    by = by or ("name" if len(pids) == 1 else "process")
    survey = _Survey(proc, max_hold / 1000, within)
    with StatusLine() as status:
        try:
            if every:
                survey.look_at_all(status, by)
            else:
                survey.look_at(list(dict.fromkeys(pids)), status)
        except KeyboardInterrupt:
            survey.interrupted = True
    for line in _as_json(survey, by) if as_json else _as_table(survey, by):
        click.echo(line)
    sys.stdout.flush()
    _report(survey)


@dataclass(slots=True)
class _Survey:
    """What was found of the processes that were looked at."""

    proc: str
    max_hold: float
    """Seconds."""
    within: float | None
    """Seconds."""
    looks: "list[Looked]" = field(default_factory=list)
    """VMA by VMA."""
    processes: "list[Row]" = field(default_factory=list)
    """Those of which only sums were asked."""
    unread: Counter[str] = field(default_factory=Counter)
    """Why some of all processes were not read, and how many."""
    failed: bool = False
    """Whether a process that was named was not read."""
    interrupted: bool = False

    def look_at(self, pids: Sequence[int], status: StatusLine) -> None:
        """Look at these; what stands in the way of one is told."""
        deadline = self.within and time.monotonic() + self.within
        for number, pid in enumerate(pids):
            status.show(f"process {pid}", number, len(pids))
            share = deadline and max((deadline - time.monotonic()) / (len(pids) - number), _LEAST)
            try:
                look = partial(_look, pid, self.max_hold, share)
                found = look_at(pid, look, proc=self.proc, timeout=MEMORY_TIMEOUT)
            except (OSError, OutOfReachError) as error:
                self.failed = True
                status.clear()
                click.echo(f"Error: {describe(error)}", err=True)
            else:
                self.looks.append(found)

    def look_at_all(self, status: StatusLine, by: str) -> None:
        """Look at all processes, and count those that are not read."""
        from untorn.cli.memory_rows import Row
        from untorn.reader.memories import Looked, Unread, look_at_all, look_at_each

        look = look_at_all if by == "process" else look_at_each
        for number, found in enumerate(look(self.proc, self.max_hold, self.within), 1):
            status.show(f"{number} processes")
            if isinstance(found, Unread):
                self.unread[found.reason] += 1
            elif isinstance(found, Looked):
                self.looks.append(found)
            else:
                row = Row(found.amounts, found.how, None, found.pid, found.command)
                self.processes.append(row)

    def rows(self, by: str) -> "list[Row]":
        """Return what was found, a row a VMA, name or process."""
        from untorn.cli.memory_rows import BY

        return [*BY[by](self.looks), *sorted(self.processes, key=lambda row: row.pid or 0)]

    def total(self) -> "Amounts":
        """Return the sums over all processes."""
        from untorn.cli.memory_rows import sum_of

        if len(self.looks) == 1:
            return self.looks[0].memory.total
        processes = [row.amounts for row in self.processes]
        return sum_of([*(each.memory.total for each in self.looks), *processes])


def _look(pid: int, max_hold: float, within: float | None, maps: "LiveMaps") -> "Looked":
    from untorn.reader.memories import Looked

    return Looked(pid, maps.command(), maps.memory(max_hold=max_hold, within=within))


def _as_json(survey: _Survey, by: str) -> Iterator[str]:
    for row in survey.rows(by):
        yield json.dumps(row.as_json())


def _as_table(survey: _Survey, by: str) -> Iterator[str]:
    from untorn.cli.memory_table import table

    rows = survey.rows(by)
    if not rows:
        return iter(())
    first = {"vma": ["range"], "name": ["VMAs"], "process": ["pid"]}[by]
    if by == "vma" and len(survey.looks) > 1:
        first = ["pid", *first]
    return table(rows, first, "command" if by == "process" else "name", survey.total())


def _report(survey: _Survey) -> None:
    """Tell what was not read or did not stand still, and end with what that means."""
    read = len(survey.looks) + len(survey.processes)
    for reason, count in survey.unread.items():
        click.echo(f"{reason}: {count} of {read + survey.unread.total()} processes", err=True)
    changed = sum(int(look.memory.changed.sum()) for look in survey.looks)
    if changed:
        click.echo(f"note: {changed} VMAs changed or came while they were looked at", err=True)
    if survey.interrupted:
        click.echo(f"interrupted; processes read: {read}", err=True)
    if survey.interrupted or survey.failed:
        sys.exit(1)
