"""untorn watch: show what changes in the map of a process, look by look."""

import json
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from untorn.cli.options import Above, pid_argument, timeout_option
from untorn.cli.values import entry_as_json
from untorn.reader.access.limit import TIMEOUT

if TYPE_CHECKING:
    from untorn.reader.diff import Change
    from untorn.reader.watch import Look


@click.command(
    epilog="""\b
    Example: untorn watch 4242 --interval 0.5 | jq -c 'select(.kind == "mapped")'
    Exit status: 0 the process ended, or Ctrl-C; 1 there is no such process, it
    has no memory, may not be read, or was not read in time; 2 wrong usage."""
)
@pid_argument
@click.option(
    "--interval",
    type=Above(86_400),
    default=1.0,
    show_default=True,
    metavar="S",
    help="Seconds between two looks.",
)
@timeout_option(TIMEOUT, "each look")
def watch(pid: int, proc: str, interval: float, timeout: float) -> None:
    """Show what changes in the map of a process, until it ends.

    Ranges are mapped, unmapped, grown, shrunk, protected (other permissions), renamed or replaced
    (another file). A split or a merge alone is no change. On a terminal the command shows totals
    and the latest changes. Otherwise it prints a JSON object per line: the first says how much is
    mapped, the last that the process ended.
    """
    from untorn.reader.watch import watch as looks

    seen = looks(pid, interval=interval, proc=proc, timeout=timeout)
    try:
        if sys.stdout.isatty():
            _show(pid, seen)
        else:
            _print_json(seen)
    except KeyboardInterrupt:
        return


def _show(pid: int, looks: "Iterator[Look]") -> None:
    from rich.console import Console
    from rich.live import Live

    from untorn.cli.watch_view import WatchView

    console = Console()
    view = WatchView(pid)
    with Live(console=console, auto_refresh=False) as screen:
        for look in looks:
            view.take(look)
            screen.update(view.render(console.width, console.height), refresh=True)
    click.echo(f"process {pid} ended")


def _print_json(looks: "Iterator[Look]") -> None:
    for number, (snapshot, changes) in enumerate(looks):
        if not number:
            _print_line(kind="first", vmas=len(snapshot), size=snapshot.size)
        for change in changes:
            _print_line(**_change_as_json(change))
        sys.stdout.flush()
    _print_line(kind="ended")


def _print_line(**fields: object) -> None:
    click.echo(json.dumps({"time": round(time.time(), 3), **fields}))


def _change_as_json(change: "Change") -> dict[str, object]:
    return {
        "kind": change.kind,
        "start": change.start,
        "end": change.end,
        "before": entry_as_json(change.before),
        "after": entry_as_json(change.after),
    }
