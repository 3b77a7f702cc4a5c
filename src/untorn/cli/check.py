"""untorn check: run the engine under every schedule that can matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from untorn.cli.options import OUTPUT_FILE, check_file, cluster_option
from untorn.cli.progress import StatusLine
from untorn.errors import OutOfReachError

if TYPE_CHECKING:
    from untorn.check.telling.switches import Switches
    from untorn.check.work import Work, WorkOutcome

    _Runs = Callable[[Sequence[Work]], tuple[list[WorkOutcome], bool]]

_MATRIX = ("dpor", "pos", "random")
"""Strategies that are compared by how fast they kill mutants."""


@click.command(
    epilog="""\b
    Example: untorn check --mutant linux-6.17
             untorn check maps/split-above --strategy pos
    Exit status: 0 nothing broke; 1 something broke, a bound was met, a mutant
    survived that should not, or interrupted; 2 wrong usage."""
)
@click.argument("models", metavar="[MODEL]...", nargs=-1)
@click.option(
    "--strategy",
    type=click.Choice(("dpor", "dfs", "pos", "pct", "random")),
    help="How to choose schedules; dpor and dfs are complete.  [default: dpor]",
)
@click.option(
    "--preemptions",
    type=click.IntRange(min=0),
    metavar="N",
    help="With dfs: only schedules with at most N preemptions.",
)
@click.option(
    "--schedule",
    "schedule_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Replay the first failure in a file that --json wrote.",
)
@click.option(
    "--memory",
    type=click.Choice(("sc", "linux", "linux-strict")),
    default="sc",
    show_default=True,
    help="What a load may see: sc, the last store; linux, what Linux's barriers leave possible;"
    " linux-strict, that by the letter of Linux's memory model.",
)
@click.option(
    "--mutant",
    metavar="NAME|all",
    help="Check a mutant of the protocol, or all of them; with --memory linux, all that change"
    " a memory order.",
)
@cluster_option
@click.option(
    "--resume",
    "checkpoint_file",
    type=OUTPUT_FILE,
    callback=check_file,
    metavar="FILE",
    help="Save progress in this file, and resume from it after a stop.",
)
@click.option(
    "--json",
    "json_file",
    type=OUTPUT_FILE,
    callback=check_file,
    metavar="FILE|-",
    help="Write the results to this file; - for stdout instead of the tables.",
)
def check(
    models: tuple[str, ...],
    strategy: str | None,
    preemptions: int | None,
    schedule_file: Path | None,
    memory: str,
    mutant: str | None,
    address: str | None,
    checkpoint_file: Path | None,
    json_file: Path | None,
) -> None:
    """Run the engine under every schedule of small scenarios.

    The engine's own code runs, and each run is judged by the coherency contract. MODEL is a
    scenario or a group of them: script, maps, query, smaps, pagemap, mmap_lock, rcu, fault, pages,
    guards, values, wait, meet, recycled, A, AB, A.B, ABC, query-one, deep; the default is all but
    deep. A failure is shown step by step. A mutant changes one step of the locking protocol; the
    command then shows how many schedules it takes to notice. The mutants linux-6.17 and
    maple-iterator are the false gaps of Linux.
    """
    _require_greenlet()
    if preemptions is not None and strategy != "dfs":
        raise click.UsageError("--preemptions bounds --strategy dfs")
    if memory != "sc" and strategy not in (None, "dpor"):
        raise click.UsageError("--memory is explored by --strategy dpor")
    if schedule_file:
        if (
            models
            or strategy
            or mutant
            or address
            or checkpoint_file
            or json_file
            or memory != "sc"
        ):
            raise click.UsageError("--schedule replays what its file says; it takes nothing else")
        _replay(schedule_file)
        return
    run = partial(_run, address=address, checkpoint_file=checkpoint_file)
    if mutant == "all":
        compared = _MATRIX if strategy is None and memory == "sc" else (strategy or "dpor",)
        _matrix(models, compared, preemptions, memory, run, json_file)
    else:
        works = _plan(models, strategy or "dpor", preemptions, mutant, memory)
        _explore(works, run, json_file)


def _require_greenlet() -> None:
    try:
        import greenlet  # noqa: F401 (only whether it is there)
    except ImportError as error:
        raise OutOfReachError("the checker needs greenlet: pip install 'untorn[check]'") from error


def _plan(
    models: tuple[str, ...],
    strategy: str,
    preemptions: int | None,
    mutant: str | None,
    memory: str,
) -> list[Work]:
    from untorn.check.memory.modes import SC
    from untorn.check.mutants import MUTANTS, needs_weak_memory
    from untorn.check.work import plan

    if mutant is not None and mutant not in MUTANTS:
        raise click.UsageError(f"there is no mutant {mutant}; there are: {', '.join(MUTANTS)}")
    if mutant is not None and memory == SC and needs_weak_memory(mutant):
        raise click.UsageError(f"mutant {mutant} changes an order: add --memory linux")
    try:
        return plan(models, strategy, preemptions, mutant, memory)
    except LookupError as error:
        raise click.UsageError(str(error.args[0])) from error


def _run(
    works: Sequence[Work], *, address: str | None, checkpoint_file: Path | None
) -> tuple[list[WorkOutcome], bool]:
    """Explore; return the outcomes in the order of works, and whether it was interrupted."""
    from untorn.check.checkpoint import Checkpoint, CheckpointError
    from untorn.check.run import Interrupted, run
    from untorn.spread.pools import open_pool

    try:
        checkpoint = Checkpoint(works, checkpoint_file)
    except CheckpointError as error:
        raise click.UsageError(str(error)) from error
    found: dict[Work, WorkOutcome] = {}
    interrupted = False
    try:
        with StatusLine() as status:
            for outcome in run(checkpoint, open_pool(address)):
                found[outcome.work] = outcome
                status.show("exploring", len(found), len(works))
    except Interrupted as interruption:
        interrupted = True
        found.update({outcome.work: outcome for outcome in interruption.unfinished})
    return [found[work] for work in works if work in found], interrupted


def _explore(works: list[Work], run: _Runs, json_file: Path | None) -> None:
    from untorn.check.telling.report import by_scenario, story, summary

    outcomes, interrupted = run(works)
    tell = _say if json_file != Path("-") else _say_nothing
    tell([*(by_scenario(outcomes) if len(outcomes) < 40 else []), summary(outcomes)])
    shrunk: dict[int, Switches] = {}
    try:
        for number, each in enumerate(outcomes):
            if each.failure or each.limited:
                told, shrunk[number] = story(each)
                tell(["", *told])
    finally:  # a schedule that was not shrunk is written as it was found
        _write(json_file, outcomes, shrunk)
    _finish(interrupted, len(outcomes), all(each.passed for each in outcomes))


def _say(lines: list[str]) -> None:
    click.echo("\n".join(lines))


def _say_nothing(lines: list[str]) -> None:
    """Print nothing: stdout is for JSON."""


def _matrix(
    models: tuple[str, ...],
    strategies: tuple[str, ...],
    preemptions: int | None,
    memory: str,
    run: _Runs,
    json_file: Path | None,
) -> None:
    from untorn.check.mutants import names_of_all
    from untorn.check.telling.report import all_killed, decided, matrix

    works = [
        work
        for strategy in strategies
        for name in names_of_all(memory)
        for work in _plan(models, strategy, preemptions, name, memory)
    ]
    outcomes, interrupted = run(works)
    if json_file != Path("-"):
        _say(matrix(decided(works, outcomes), strategies))
    _write(json_file, outcomes, {})
    _finish(interrupted, len(outcomes), all_killed(outcomes, strategies[0]))


def _replay(path: Path) -> None:
    from untorn.check.telling.record import ScheduleFileError, load
    from untorn.check.telling.report import replayed

    try:
        recorded = load(path)
    except ScheduleFileError as error:
        raise click.UsageError(str(error)) from error
    told, broke = replayed(recorded)
    _say(told)
    if broke:
        click.get_current_context().exit(1)


def _write(path: Path | None, outcomes: list[WorkOutcome], shrunk: dict[int, Switches]) -> None:
    from untorn.check.telling.record import as_json

    if path:
        with click.open_file(str(path), "w") as file:
            file.write(as_json(outcomes, shrunk) + "\n")


def _finish(interrupted: bool, explored: int, good: bool) -> None:
    if interrupted:
        click.echo(f"interrupted; {explored} explorations begun or done", err=True)
    if interrupted or not good:
        click.get_current_context().exit(1)
