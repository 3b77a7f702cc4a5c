"""untorn maps: print a coherent snapshot of a live process, or a text or core file."""

import json
import sys
from typing import TYPE_CHECKING

import click

from untorn.cli.options import PID, proc_option, timeout_option
from untorn.cli.values import entry_as_json
from untorn.reader.access.limit import TIMEOUT
from untorn.reader.looks import snapshot

if TYPE_CHECKING:
    from untorn.reader.snapshot import Snapshot


@click.command(
    epilog="""\b
    Example: untorn maps 4242 --json | jq -r .name
             untorn maps --text pasted.txt
             untorn maps --text kernel_of_mine.txt --strict
    Exit status: 0 all was printed; 1 there is no such process, it has no
    memory, may not be read, or was not read in time; the file is no map, or
    with --strict not as Linux prints it; 2 wrong usage."""
)
@click.argument("pid", type=PID, required=False)
@proc_option
@click.option("--text", "path", metavar="FILE|-", help="Read a text of maps, or a core file.")
@click.option("--strict", is_flag=True, help="Refuse a text that Linux would not print.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@timeout_option(TIMEOUT, "the look")
def maps(
    pid: int | None, proc: str, path: str | None, strict: bool, as_json: bool, timeout: float
) -> None:
    """Print the map of a process: each VMA once, none left out.

    The format is that of /proc/PID/maps. If the process changes its map meanwhile, a range is still
    shown only once, as it was last seen, and nothing is missing that was mapped all the time.
    stderr says how many lines newer ones replaced, and how many VMAs the kernel had left out. In
    JSON, addresses and offsets are in bytes.

    With --text, print in Linux's format what another kernel printed, what a mail or an editor left
    of a map, or what a core file has. A line is accepted if it can mean only one thing; stderr
    reports each kind of difference from Linux, with the first place that has it. With --strict the
    first difference is an error: use it to check the /proc/PID/maps of a kernel of your own.
    """
    if (pid is None) == (path is None):
        raise click.UsageError("give either a PID or --text FILE")
    if strict and path is None:
        raise click.UsageError("--strict is about --text FILE")
    taken = _snapshot(pid, proc, timeout, path, strict)
    stdout = sys.stdout.buffer
    for entry in taken:
        line = json.dumps(entry_as_json(entry)).encode() + b"\n" if as_json else entry.line()
        stdout.write(line)
    stdout.flush()
    _report(taken)


def _snapshot(
    pid: int | None, proc: str, timeout: float, path: str | None, strict: bool
) -> "Snapshot":
    if pid is not None:
        return snapshot(pid, proc=proc, timeout=timeout)
    from untorn.cli.maps_text import snapshot_of

    assert path is not None
    return snapshot_of(path, strict=strict)


def _report(taken: "Snapshot") -> None:
    """Report what was changed in the kernel's text, or tolerated in another's, if anything."""
    done = taken.coherence
    if done.put_in or done.overlaps:
        line = f"{done.overlaps} lines gave way to newer ones, {done.put_in} VMAs put in"
        click.echo(line, err=True)
    for leniency in taken.leniencies:
        click.echo(f"note: {leniency}", err=True)
