"""untorn conform: the engine against the running kernel, operation by operation."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


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
def conform(ops: int, seed: str) -> None:
    """Hold the engine to the running kernel: same results, same maps.

    Random scripts of mmap, munmap, mprotect, mremap, madvise, mlock, brk, mseal, accesses to
    memory and resource limits are made by a stopped child, by ptrace, and by the engine. After
    every operation the results and the whole text of maps are compared, byte for byte. A
    mismatch ends the run with the shortest script that shows it.
    """
    from untorn.conform.machine import check_machine
    from untorn.conform.pair import Pair
    from untorn.conform.report import failure_report, summary
    from untorn.conform.run import conform as run

    check_machine()
    with Pair() as pair, _progress(ops) as report:
        outcome = run(pair, ops, seed, report)
    if outcome.failure is not None:
        click.echo("\n".join(failure_report(outcome.failure, seed)) + "\n")
    click.echo("\n".join(summary(outcome)))
    if outcome.interrupted:
        click.echo(f"interrupted after {outcome.operations} operations", err=True)
    if outcome.interrupted or outcome.failure is not None:
        click.get_current_context().exit(1)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """Show on stderr, if that is a terminal, how many of total operations were made."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    shown = console.is_terminal
    with Progress(console=console, auto_refresh=False, transient=True, disable=not shown) as bar:
        task = bar.add_task("operations", total=total)
        yield lambda done: bar.update(task, completed=done, refresh=True)
