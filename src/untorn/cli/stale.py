"""untorn stale: show which processes map files that were deleted or replaced."""

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from untorn.cli.options import proc_option, timeout_option
from untorn.cli.values import binary_size, printable, text
from untorn.reader.access.limit import PROCESS_TIMEOUT

if TYPE_CHECKING:
    from untorn.reader.stale import Stale, Survey


@click.command(
    epilog="""\b
    Example: untorn stale | awk '$3 == "replaced" && $4 == "code"'
    Exit status: 0 every process that may be read was read; 1 there is no /proc;
    2 wrong usage."""
)
@proc_option
@timeout_option(PROCESS_TIMEOUT, "a look at one process")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def stale(proc: str, as_json: bool, timeout: float) -> None:
    """Show which processes map deleted or replaced files.

    An upgrade replaces libraries, for example, and running programs still map the old ones. The
    command prints one line per process and file: PID; command; "replaced" if another file has the
    name now, "deleted" if none has, "gone" if that is not known; "code" if some of it may be
    executed; how much is mapped; the name. Memory that never had a name in a directory, such as
    that of memfd_create, is left out. stderr, or the last JSON object, says how many processes may
    not be read.
    """
    from untorn.reader.stale import stale as survey

    seen = survey(proc, timeout)
    lines = _as_json(seen) if as_json else map(_as_line, seen.found)
    for line in lines:
        click.echo(line)
    sys.stdout.flush()
    if not as_json:
        for reason, count in seen.unread.items():
            click.echo(
                f"{reason}: {count} of {seen.read + seen.unread.total()} processes", err=True
            )


def _as_line(each: "Stale") -> str:
    state = {True: "replaced", False: "deleted", None: "gone"}[each.replaced]
    kind = "code" if each.code else "data"
    command = printable(each.command).replace(" ", "_") or "-"
    size = binary_size(each.size).replace(" ", "")
    return f"{each.pid:>7} {command:<15} {state:<8} {kind} {size:>9} {printable(each.name)}"


def _as_json(seen: "Survey") -> Iterator[str]:
    for each in seen.found:
        fields = each._asdict() | {
            "command": text(each.command),
            "name": text(each.name),
            "device": list(each.device),
        }
        yield json.dumps({"kind": "stale", **fields})
    yield json.dumps({"kind": "summary", "read": seen.read, "unread": seen.unread})
