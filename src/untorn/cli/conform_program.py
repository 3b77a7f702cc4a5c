"""untorn conform --exec: a real program's memory calls, made in the engine, too."""

from typing import TYPE_CHECKING

import click

from untorn.cli.progress import StatusLine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from untorn.conform.program.outcome import ProgramRun


def conform_program(command: "Sequence[str]", *, filtered: bool) -> None:
    """Run a program, print what was compared; exit 1 if there was a mismatch or an interrupt."""
    from untorn.conform.program.report import program_mismatch_report, program_summary
    from untorn.processes.endings import ending_taken, endings_held

    with endings_held():
        run = _run(command, filtered=filtered)
        run.interrupted = ending_taken() or run.interrupted
    for found in run.mismatches:
        click.echo("\n".join(program_mismatch_report(found)) + "\n")
    click.echo("\n".join(program_summary(run, command[0])))
    if run.interrupted:
        click.echo(f"interrupted after {run.operations} calls", err=True)
    if run.interrupted or run.mismatches:
        click.get_current_context().exit(1)


def _run(command: "Sequence[str]", *, filtered: bool) -> "ProgramRun":
    from untorn.conform.program.run import run_program
    from untorn.conform.running_kernel import check_machine

    check_machine()
    with StatusLine() as status:

        def show(run: "ProgramRun") -> None:
            status.show(f"{command[0]}: {run.operations:,} calls compared")

        return run_program(command, show, filtered=filtered)
