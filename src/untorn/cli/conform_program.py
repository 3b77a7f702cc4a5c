"""untorn conform --exec: make a real program's memory calls in the engine, too."""

import shlex
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

import click

from untorn.cli.progress import StatusLine
from untorn.errors import OutOfReachError

if TYPE_CHECKING:
    from untorn.conform.program.outcome import ProgramRun

_MOST_SHOWN = 5
"""How many mismatches to reduce to a script: one often brings others of its kind."""


def conform_program(command: Sequence[str], record: str | None, *, filtered: bool) -> None:
    """Run a program and print the comparison; exit 1 after a mismatch or an interrupt.

    Args:
        command: Its name and arguments.
        record: The file to write its calls to; - for stdout.
        filtered: See run_program().
    """
    from untorn.conform.program.record import format_records
    from untorn.conform.program.report import program_summary
    from untorn.conform.program.run import find_program
    from untorn.conform.running_kernel import check_machine

    check_machine()
    find_program(command[0])  # before the file is emptied
    with nullcontext() if record is None else click.open_file(record, "w") as file:
        run = _run(command, filtered=filtered, records=file is not None)
        if file is not None:
            kept = format_records(run.records, shlex.join(command))
            file.writelines(f"{line}\n" for line in kept)
    click.echo("\n".join(program_summary(run, command[0])))
    if run.interrupted:
        click.echo(f"interrupted after {run.operations} calls", err=True)
    if run.interrupted or run.mismatches:
        click.get_current_context().exit(1)


def _run(command: Sequence[str], *, filtered: bool, records: bool) -> "ProgramRun":
    from untorn.conform.program.run import run_program
    from untorn.processes.endings import ending_taken, endings_held

    with endings_held():
        with StatusLine() as status:

            def show(run: "ProgramRun") -> None:
                status.show(f"{command[0]}: {run.operations:,} calls compared")

            run = run_program(command, show, filtered=filtered, records=records)
        _print_mismatches(run, command[0])
        run.interrupted = ending_taken() or run.interrupted
    return run


def _print_mismatches(run: "ProgramRun", name: str) -> None:
    from untorn.conform.program.report import program_mismatch_report
    from untorn.conform.program.shorter import shortest_script

    with StatusLine() as status:
        for found in run.mismatches[:_MOST_SHOWN]:
            status.show(f"{name}: looking for a script that shows a mismatch")
            shortest = None
            with suppress(OutOfReachError):  # the mismatch is printed anyway
                shortest = None if run.interrupted else shortest_script(found, name)
            status.write("\n".join(program_mismatch_report(found, shortest)) + "\n")
