"""untorn conform: the engine against the running kernel, operation by operation."""

from typing import TYPE_CHECKING, TextIO

import click

from untorn.cli.progress import StatusLine

if TYPE_CHECKING:
    from untorn.conform.operation import Operation
    from untorn.conform.run import ConformRun


@click.command(
    epilog="""\b
    Example: untorn conform --ops 100000 --seed 7
    Exit status: 0 no mismatch; 1 a mismatch, interrupted, or out of reach;
    2 wrong usage."""
)
@click.option(
    "--ops",
    type=click.IntRange(min=1),
    default=20_000,
    show_default=True,
    metavar="N",
    help="Operations to make.",
)
@click.option("--seed", default="0", show_default=True, metavar="S", help="Decides which.")
@click.option(
    "--script",
    type=click.File(),
    metavar="FILE|-",
    help="Make the operations of a file in place of random ones: what a mismatch printed.",
)
def conform(ops: int, seed: str, script: TextIO | None) -> None:
    """Hold the engine to the running kernel: same results, same maps.

    Random scripts of mmap, munmap, mprotect, mremap, madvise, mlock, brk, mseal, fork, accesses
    to memory and resource limits are made by a stopped child, by ptrace, and by the engine.
    After every operation the results, the whole text of maps, byte for byte, and the counts of
    pages are compared. A mismatch ends the run with the shortest script that shows it.
    """
    from untorn.processes.endings import ending_taken, endings_held

    with endings_held():
        from untorn.conform.report import failure_report, summary

        origin = f"seed {seed}" if script is None else script.name
        run = _run(ops, seed, None if script is None else _read(script))
        run.interrupted = ending_taken() or run.interrupted
    if run.failure is not None:
        click.echo("\n".join(failure_report(run.failure, origin)) + "\n")
    click.echo("\n".join(summary(run, origin)))
    if run.interrupted:
        click.echo(f"interrupted after {run.operations} operations", err=True)
    if run.interrupted or run.failure is not None:
        click.get_current_context().exit(1)


def _run(ops: int, seed: str, script: "list[Operation] | None") -> "ConformRun":
    from untorn.conform import run
    from untorn.conform.pair import Pair
    from untorn.conform.running_kernel import check_machine

    check_machine()
    with Pair() as pair, StatusLine() as status:
        if script is not None:
            return run.conform_script(pair, script)
        return run.conform(pair, ops, seed, lambda done: status.show("operations", done, ops))


def _read(script: TextIO) -> "list[Operation]":
    from untorn.conform.script_text import parse_script

    try:
        return parse_script(script.read())
    except ValueError as error:
        raise click.BadParameter(f"{script.name}: {error}") from error
