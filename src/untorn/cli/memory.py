"""untorn memory: count what processes have in memory, without stalling them."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from untorn.cli.options import PID, Above, max_hold_option, proc_option
from untorn.cli.progress import StatusLine
from untorn.cli.values import binary_size
from untorn.errors import describe

if TYPE_CHECKING:
    from untorn.cli.memory_rows import Row
    from untorn.reader.memories import ProcessMemory, Unread


@click.command(
    epilog="""\b
    Example: untorn memory 4242
             untorn memory 4242 --by vma --json | jq -r '[.rss, .name] | @tsv'
             untorn memory --all --within 5 | head
    Exit status: 0 done (with --all, stderr counts what was not read); 1 a named
    process does not exist, has no memory, may not be read or took too long, or
    Ctrl-C; 2 wrong usage."""
)
@click.argument("pids", metavar="[PID]...", type=PID, nargs=-1)
@proc_option
@click.option("--all", "every", is_flag=True, help="Look at all processes.")
@click.option(
    "--by",
    type=click.Choice(["vma", "name", "process"]),
    help="What each line shows.  [default: name for one process, else process]",
)
@max_hold_option
@click.option(
    "--within",
    type=Above(86_400),
    metavar="S",
    help="Seconds for all processes together: what cannot be counted by then is estimated.",
)
@click.option(
    "--timeout",
    type=Above(86_400),
    metavar="S",
    help="Seconds that a look at one process may take.  [default: 1 more than --within; without "
    "that, 2 for a small one, else 60 and 0.01 for each page table]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def memory(
    pids: tuple[int, ...],
    proc: str,
    every: bool,
    by: str | None,
    max_hold: float,
    within: float | None,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Show what processes have in memory, without stalling them.

    The kernel counts small processes, in smaps or smaps_rollup. The pages of large ones are counted
    in slices, so that no lock is held for long: that takes some tenths of a second per GiB. The
    numbers are those of smaps. An unknown value is left out or given as bounds, and an estimate (~)
    comes with its 95 % confidence interval. The largest come first, with their share of all that is
    resident (%); the sums come last.

    In JSON, the largest come first, too. Sizes are in bytes, and null if they are not known; _min
    and _max are bounds.
    """
    if bool(pids) == every:
        raise click.UsageError("give either PIDs or --all")
    by = by or ("name" if len(set(pids)) == 1 else "process")
    survey = _Survey(proc, max_hold / 1000, within, timeout)
    with StatusLine() as status:
        try:
            survey.look(pids or None, by != "process", status)
        except KeyboardInterrupt:
            survey.interrupted = True
    for line in _as_json(survey, by) if as_json else _as_table(survey, by):
        click.echo(line)
    sys.stdout.flush()
    _report(survey)


@dataclass(slots=True)
class _Survey:
    """What was found about the processes that were looked at."""

    proc: str
    max_hold: float
    """Seconds, like the next two."""
    within: float | None
    timeout: float | None
    found: "list[ProcessMemory]" = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)
    """With --all: why processes were not read, and how many."""
    failed: bool = False
    """Whether a process that was named could not be read."""
    interrupted: bool = False

    def look(self, pids: Sequence[int] | None, by_vma: bool, status: StatusLine) -> None:
        """Look at these processes, or at all; print why one that was named cannot be read."""
        from untorn.reader.memories import Unread, look_at_memories

        looks = look_at_memories(
            pids,
            proc=self.proc,
            max_hold=self.max_hold,
            within=self.within,
            timeout=self.timeout,
            by_vma=by_vma,
            on_count=lambda pid, size: status.show(f"process {pid}: {binary_size(size)}"),
        )
        for number, each in enumerate(looks, 1):
            status.show(f"{number} processes")
            if not isinstance(each, Unread):
                self.found.append(each)
            elif pids is None:
                self.unread[each.reason] += 1
            else:
                self._fail(each, status)

    def _fail(self, unread: "Unread", status: StatusLine) -> None:
        self.failed = True
        status.clear()
        click.echo(f"Error: {describe(unread.error)}", err=True)

    def rows(self, by: str) -> "list[Row]":
        """Return what was found, one row per VMA, name or process."""
        from untorn.cli.memory_rows import rows_of

        return rows_of(self.found, by)


def _as_json(survey: _Survey, by: str) -> Iterator[str]:
    for row in survey.rows(by):
        yield json.dumps(row.as_json())


def _as_table(survey: _Survey, by: str) -> Iterator[str]:
    from untorn.cli.memory_table import table
    from untorn.reader.memory.memory import sum_of

    found = survey.found
    if not found:
        return iter(())
    first = {"vma": ["range"], "name": ["VMAs"], "process": ["pid"]}[by]
    if by == "vma" and len(found) > 1:
        first = ["pid", *first]
    total = found[0].amounts if len(found) == 1 else sum_of(each.amounts for each in found)
    return table(survey.rows(by), first, "command" if by == "process" else "name", total)


def _report(survey: _Survey) -> None:
    """Report what was not read or changed meanwhile, and exit accordingly."""
    read = len(survey.found)
    for reason, count in survey.unread.items():
        click.echo(f"{reason}: {count} of {read + survey.unread.total()} processes", err=True)
    changed = sum(int(each.memory.changed.sum()) for each in survey.found if each.memory)
    if changed:
        click.echo(f"note: {changed} VMAs changed or came while they were looked at", err=True)
    _report_holds(survey)
    if survey.interrupted:
        click.echo(f"interrupted; processes read: {read}", err=True)
    if survey.interrupted or survey.failed:
        sys.exit(1)


def _report_holds(survey: _Survey) -> None:
    """Report whether a call took longer than a lock may be held, and how long at most."""
    over = [each for each in survey.found if each.longest_hold_ns > survey.max_hold * 1e9]
    if over:
        worst = max(over, key=lambda each: each.longest_hold_ns)
        click.echo(
            f"a lock may have been held for more than {survey.max_hold * 1e3:g} ms: {len(over)} of "
            f"{len(survey.found)} processes, {worst.longest_hold_ns / 1e6:.3g} ms at most "
            f"(process {worst.pid})",
            err=True,
        )
