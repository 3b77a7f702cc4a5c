"""untorn race: readers of a map against writers of it, held to the coherency contract."""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from untorn.cli.process_options import Above

if TYPE_CHECKING:
    from untorn.race.run import Outcome

One = Callable[[int, Callable[[str], None], Callable[[str], None]], "Outcome"]
"""Runs tests with a seed; the first function takes lines, the other is told what is being done."""

_LONGEST = 24 * 3600.0
"""Seconds."""


@click.command(
    epilog="""\b
    Example: untorn race --reader vma_lock --test no-false-gap --duration 60
    Exit status: 0 every test passed; 1 a rule is broken, interrupted, or all
    is out of reach; 2 wrong usage."""
)
@click.option(
    "--target",
    default="engine",
    show_default=True,
    metavar="T",
    help="engine, live (this kernel), or vm:KERNEL (another, in QEMU).",
)
@click.option(
    "--reader",
    "readers",
    multiple=True,
    metavar="R",
    help="A reader of the target; may be given again.  [default: all it has]",
)
@click.option(
    "--maps-file",
    "kind",
    type=click.Choice(("maps", "smaps")),
    default="maps",
    show_default=True,
    help="The file to read.",
)
@click.option(
    "--test",
    "tests",
    multiple=True,
    metavar="NAME",
    help="A test; may be given again.  [default: all]",
)
@click.option(
    "--duration",
    type=Above(_LONGEST),
    default=5.0,
    show_default=True,
    metavar="S",
    help="Seconds that each test races.",
)
@click.option("--disturb", is_flag=True, help="Interrupt the reader as finely as can be.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Decides what random writers do, and with vm:KERNEL everything.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Seeds to run, the one named and those after it.",
)
@click.option("--verbose", is_flag=True, help="Show the lines that a round changes.")
def race(
    target: str,
    readers: tuple[str, ...],
    kind: str,
    tests: tuple[str, ...],
    duration: float,
    disturb: bool,
    seed: int,
    seeds: int,
    verbose: bool,
) -> None:
    """Race readers of a map against writers of it, and judge what they are shown.

    Results are KTAP on stdout. The tests split, resize and remap are those of the kernel's own
    selftest, at the end of a read; with -inside, in the middle of one. merge makes each of the
    ten merges and splits; no-false-gap tears what is always mapped; query-walk asks for one VMA
    after the other by ioctl; random does anything.

    With vm:KERNEL the tests of live run in a guest that is emulated by counting instructions: the
    same command with the same seed gives the same run, to the last line.
    """
    options = {
        "kind": kind,
        "readers": readers,
        "tests": tests,
        "disturb": disturb,
        "verbose": verbose,
    }
    try:
        one = _prepare(target, duration, options)
    except LookupError as error:
        raise click.UsageError(str(error)) from error
    status = StatusLine()
    if seeds == 1:
        outcome = one(seed, status.write, status.show)
    else:
        outcome = _run_seeds(one, range(seed, seed + seeds), status)
    status.clear()
    _finish(outcome)


def _prepare(target: str, duration: float, options: dict[str, Any]) -> One:
    """Return what runs the tests once; raises LookupError if there is no such thing to run."""
    from untorn.race.racing import Effort

    if target.startswith("vm:"):
        from untorn.vm.race import GuestRace

        return GuestRace(target, duration, options).run

    from untorn.race.ktap import Ktap
    from untorn.race.plan import Plan
    from untorn.race.run import run
    from untorn.race.target import find_target

    plan = Plan.of(find_target(target), effort=Effort(duration), **options)
    return lambda seed, write, show: run(replace(plan, seed=seed), Ktap(write), show)


def _run_seeds(one: One, seeds: range, status: "StatusLine") -> "Outcome":
    """Run the tests with each seed as a subtest; sum up."""
    from untorn.race.ktap import Ktap
    from untorn.race.run import Outcome

    total, ktap = Outcome(), Ktap(status.write)
    with ktap.plan(len(seeds)):
        for seed in seeds:
            outcome = one(seed, lambda line: status.write(f"  {line}"), status.show)
            total.add(outcome)
            if outcome.interrupted:
                break
            ktap.result(not outcome.failed, f"seed {seed}")
    return total


class StatusLine:
    """What is being done, in the last line of a terminal, below what is written to stdout."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()

    def show(self, text: str) -> None:
        """Show this from now on."""
        self.clear()
        if self._shown:
            click.echo(text, err=True, nl=False)

    def clear(self) -> None:
        """Show nothing."""
        if self._shown:
            click.echo("\r\x1b[K", err=True, nl=False)

    def write(self, text: str) -> None:
        """Write a line to stdout."""
        self.clear()
        click.echo(text)


def _finish(outcome: "Outcome") -> None:
    """Say on stderr what is missing, and end with status 1 if that is a failure."""
    if outcome.interrupted:
        click.echo("interrupted", err=True)
    elif not outcome.passed + outcome.failed:
        click.echo("; ".join(outcome.reasons), err=True)
    if outcome.interrupted or outcome.failed or not outcome.passed:
        click.get_current_context().exit(1)
