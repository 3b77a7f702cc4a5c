"""untorn maps: a coherent snapshot of a live process."""

import json
import sys
from typing import TYPE_CHECKING

import click

from untorn.cli.process_options import entry_as_json, pid_argument, timeout_option
from untorn.live.reader.limit import TIMEOUT
from untorn.live.reader.looks import snapshot

if TYPE_CHECKING:
    from untorn.live.reader.snapshot import Coherence


@click.command(
    epilog="""\b
    Example: untorn maps 4242 --json | jq -r .name
    Exit status: 0 all was printed; 1 there is no such process, it has no
    memory, may not be read, or was not in time; 2 wrong usage."""
)
@pid_argument
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@timeout_option(TIMEOUT, "the look")
def maps(pid: int, proc: str, as_json: bool, timeout: float) -> None:
    """Print the map of a process, each VMA once, none left out.

    As /proc/PID/maps does, but read so that no line is older than another one which took its
    place, and nothing is missing that was mapped all the time. Lines that gave way, and VMAs that
    the kernel had left out, are counted on stderr. In JSON, addresses and offsets are in bytes.
    """
    taken = snapshot(pid, proc=proc, timeout=timeout)
    stdout = sys.stdout.buffer
    for entry in taken:
        line = json.dumps(entry_as_json(entry)).encode() + b"\n" if as_json else entry.line()
        stdout.write(line)
    stdout.flush()
    _report(taken.coherence)


def _report(coherence: "Coherence") -> None:
    """Tell what was done to the kernel's text, if anything was."""
    if coherence.put_in or coherence.overlaps:
        line = f"{coherence.overlaps} lines gave way to newer ones, {coherence.put_in} VMAs put in"
        click.echo(line, err=True)
