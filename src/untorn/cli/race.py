"""untorn race: race readers of a map against writers, and judge by the coherency contract."""

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from untorn.cli.options import Above
from untorn.cli.progress import StatusLine
from untorn.judge.lines import VMA_LINES

if TYPE_CHECKING:
    from untorn.race.tally import RaceResult
    from untorn.race.target import RaceOptions, RaceTarget

_LONGEST = 24 * 3600.0
"""Seconds."""


@click.command(
    epilog="""\b
    Example: untorn race --reader vma_lock --test no-false-gap --duration 60
    Exit status: 0 every test passed; 1 a rule is broken, interrupted, or
    everything is out of reach; 2 wrong usage."""
)
@click.option(
    "--target",
    default="engine",
    show_default=True,
    metavar="T",
    help="engine, engine:6.12 (as that Linux does it), live (this kernel), or vm:KERNEL (another, "
    "in QEMU).",
)
@click.option(
    "--reader",
    "readers",
    multiple=True,
    metavar="R",
    help="A reader of the target; repeatable.  [default: all it has]",
)
@click.option(
    "--maps-file",
    "kind",
    type=click.Choice(list(VMA_LINES)),
    default="maps",
    show_default=True,
    help="The file to read.",
)
@click.option(
    "--test",
    "tests",
    multiple=True,
    metavar="NAME",
    help="A test; repeatable.  [default: all]",
)
@click.option(
    "--duration",
    type=Above(_LONGEST),
    default=5.0,
    show_default=True,
    metavar="S",
    help="Seconds that each test races.",
)
@click.option("--disturb", is_flag=True, help="Interrupt the reader as often as possible.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Seed of what random writers do, and with vm:KERNEL of the whole run.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Number of seeds to run: --seed and those after it.",
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
    """Race readers of a map against writers, and judge the reads.

    Results are KTAP on stdout. The tests split, resize and remap are those of the kernel's own
    selftest: they change VMAs at the end of what one read() returns. split-inside and its like
    change VMAs in the middle. merge makes each of the ten merges and splits; no-false-gap changes
    ranges that are always mapped; query-walk asks for one VMA after another by ioctl; random makes
    random calls.

    With vm:KERNEL the tests of live run in a guest that is emulated by counting instructions: the
    same command with the same seed gives the same run, to the last line.
    """
    from untorn.race.racing import Effort
    from untorn.race.target import RaceOptions
    from untorn.targets import race_target

    options = RaceOptions(kind, readers, tests, Effort(duration), seed, disturb, verbose)
    try:
        raced = race_target(target)
        options = options.fill_in(raced)
    except (LookupError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    with StatusLine() as status:
        if seeds == 1:
            result = raced.race(options, status.write, status.show)
        else:
            result = _race_seeds(raced, options, seeds, status)
    _finish(result)


def _race_seeds(
    target: "RaceTarget", options: "RaceOptions", seeds: int, status: StatusLine
) -> "RaceResult":
    """Run the tests once per seed, each as a subtest, and return the sum."""
    from untorn.race.ktap import Ktap
    from untorn.race.tally import RaceResult

    def write(line: str) -> None:
        status.write(f"  {line}")

    total, ktap = RaceResult(), Ktap(status.write)
    with ktap.plan(seeds):
        for seed in range(options.seed, options.seed + seeds):
            result = target.race(replace(options, seed=seed), write, status.show)
            total.add(result)
            if result.interrupted:
                break
            ktap.result(not result.failed, f"seed {seed}")
    return total


def _finish(result: "RaceResult") -> None:
    """Say on stderr what is missing, and end with status 1 if that is a failure."""
    if result.interrupted:
        click.echo("interrupted", err=True)
    elif not result.passed + result.failed:
        click.echo("; ".join(result.reasons), err=True)
    if result.interrupted or result.failed or not result.passed:
        click.get_current_context().exit(1)
