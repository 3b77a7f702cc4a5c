"""Run conform at several targets on a cluster: its workers make each seed of each target."""

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import product
from operator import add

from untorn.conform.outcome import ConformRun, Outcome, ignore
from untorn.conform.target import ConformOptions
from untorn.errors import OutOfReachError
from untorn.spread.each import each
from untorn.spread.pool import Pool
from untorn.targets import conform_target

Piece = tuple[str, ConformOptions]
"""The name of a target, and a part of its run."""
Show = Callable[[int, int], None]
"""Called now and then with how many pieces are made, and how many there are."""


def run_on_cluster(
    names: Sequence[str], options: ConformOptions, pool: Pool, show: Show
) -> list[Outcome]:
    """Return the outcome of each target, in their order, and close the pool.

    Inside endings_held(), Ctrl-C or SIGTERM leaves out pieces that are not made yet.

    Raises:
        OutOfReachError: See each(). What keeps one target from running is its outcome instead.
    """
    pieces: list[Piece] = list(product(names, options.parts))
    made: dict[int, Outcome] = {}
    try:
        for number, outcome in each(pool, make, pieces, _name):
            made[number] = outcome
            show(len(made), len(pieces))
    except KeyboardInterrupt:
        pass
    size = len(options.parts)
    return [
        _sum([made.get(number) for number in range(start, start + size)])
        for start in range(0, len(pieces), size)
    ]


def make(piece: Piece) -> Outcome:
    """Make a piece in a worker."""
    name, options = piece
    try:
        return conform_target(name).conform(options, ignore)
    except OutOfReachError as error:
        return error


def _name(piece: Piece) -> str:
    name, options = piece
    return f"{name}, {options.origin}"


def _sum(outcomes: Sequence[Outcome | None]) -> Outcome:
    """Return the sum of the outcomes in order; None stands for a piece that was not made."""
    for outcome in outcomes:
        if isinstance(outcome, OutOfReachError):
            return outcome
    runs = [each for each in outcomes if isinstance(each, ConformRun)]
    if len(releases := {run.release for run in runs}) > 1:
        return OutOfReachError(f"workers run different kernels: {', '.join(sorted(releases))}")
    return reduce(add, runs, ConformRun(interrupted=len(runs) < len(outcomes)))
